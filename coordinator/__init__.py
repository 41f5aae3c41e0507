"""Coordinator: a replicated, ordered key-value tree with watches and sessions, served over gRPC."""

__version__ = "0.1.0"
