"""What operators see: the record of each request, logs, metrics and traces."""
