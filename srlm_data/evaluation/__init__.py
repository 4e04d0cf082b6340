"""Floor 4. How good judges and models are, and the table that says so."""
