"""Monthly reports of another service: read documents and turn them into month rows."""
