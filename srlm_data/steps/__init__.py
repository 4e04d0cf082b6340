"""Floor 3. The paper, one file a stage: from the human seed to pairs and the next model."""
