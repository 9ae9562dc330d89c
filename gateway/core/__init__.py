"""The pure middle: money, states, what an adapter is, the ports. No I/O, no clock, no randomness, no third-party transport."""
