"""Pure bytes ↔ rows: column tables, hardened XML, charsets in bytes, seal shapes. No I/O beyond reading a given stream, no keys."""
