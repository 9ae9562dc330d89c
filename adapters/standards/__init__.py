"""Shapes with more than one user: messages of published standards, and routes over folders and queues. No adapter of its own."""
