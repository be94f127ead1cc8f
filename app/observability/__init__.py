"""What operators see of the service: request records, logs, metrics and traces."""
