"""Schema changes, one file each, in order; the newest equals ``schema.metadata`` (a test compares them)."""
