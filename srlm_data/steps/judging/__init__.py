"""How a model judges: what it is shown, in which order, and how its text is parsed."""
