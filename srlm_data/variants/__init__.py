"""Floor 4. One file a follow-up paper, made of what a step of your own may use."""
