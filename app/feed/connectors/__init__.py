"""What writes the feed's events from what other systems know."""
