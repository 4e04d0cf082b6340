"""Floor 1. What everything speaks: row shapes, config, ids, errors, messages, templates, files."""
