"""The ports made real: ledger, bus, wires, crypto, archive, clock, log. Each imports its own third-party library and nothing else does."""
