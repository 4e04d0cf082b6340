"""The response cache: model responses by request, never paid for twice."""
