"""Floor 3. The paper, one file a dataset type: from the human seed to pairs and the next model."""
