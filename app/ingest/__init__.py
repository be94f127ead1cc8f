"""From accepted events to month rows."""
