"""Floor 2. What a model is, how one is trained, and the log-probabilities that it gives."""
