"""Shapes with more than one user: messages of published standards, routes over folders and queues. No adapter."""
