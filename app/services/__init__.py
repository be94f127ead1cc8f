"""Use cases that write: each runs in one transaction, which it opens itself."""
