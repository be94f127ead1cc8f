"""Bounds on what one client may use: connections, memory, concurrent queries, failed sign-ins."""
