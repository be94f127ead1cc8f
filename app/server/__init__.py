"""`chargeback serve`: process wiring, protocol limits, background jobs and the ingest worker."""
