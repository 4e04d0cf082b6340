"""Floor 6. What is in a store: SQL, figures, health checks, lineage, diff, usage."""
