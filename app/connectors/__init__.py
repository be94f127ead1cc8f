"""Connectors: code that reads a platform and produces events."""
