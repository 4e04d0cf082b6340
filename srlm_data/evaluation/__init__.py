"""Floor 4. Metrics of judges and models, and the table that shows them."""
