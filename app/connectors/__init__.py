"""Connectors: what reads a platform and writes the feed's events, and nothing else."""
