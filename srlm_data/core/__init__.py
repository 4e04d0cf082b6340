"""Floor 1. What everything uses: row schemas, config, ids, errors, messages, templates, files."""
