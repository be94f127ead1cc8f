"""`serve --workers N`: several processes answer the requests of one port.

Each worker has a listening socket, connections to the store and an ingest worker of its own. The
supervisor only starts, watches and stops them. The first worker runs the background jobs.
"""
