"""The ledger's contract, held over SQLite and PostgreSQL by one suite."""
