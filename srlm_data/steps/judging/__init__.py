"""How a model judges: what it is shown, in which orders it is asked, what is read in its text."""
