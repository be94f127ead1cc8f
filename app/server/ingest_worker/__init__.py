"""The ingest worker: a process of its own that stores events, so that reports stay responsive.

`serve` starts the worker and sends it requests through a private socket pair. The worker exits
when its end of the pair is closed, however `serve` ended. When the worker exits first, the
supervisor restarts it, and requests in flight fail with a 503 that asks the client to retry.
"""
