"""Floor 4. One file per follow-up paper, written with what your own step may use."""
