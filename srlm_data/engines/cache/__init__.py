"""The response cache: what models were asked and what they answered, never paid for twice."""
