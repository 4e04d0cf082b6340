"""A small human seed in, versioned preference data out, made and judged by the model itself."""
