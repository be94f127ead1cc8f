"""Limits per client: connections, memory, concurrent queries, failed authentication."""
