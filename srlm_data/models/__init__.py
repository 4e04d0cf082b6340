"""Floor 2. Model identity, training, and log-probabilities."""
