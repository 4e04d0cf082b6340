"""What models were asked, what they answered, and what it cost: kept, and never paid for twice."""
