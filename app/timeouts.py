"""How long a request waits for each thing that it needs.

Clients give up after 10 s, and a response that comes later is wasted. A request waits for
admission and for a connection, then for its statements, so each limit is well below 10 s.
When PostgreSQL stops responding, the store monitor ends all of these waits at once.
"""

ADMISSION_SECONDS = 4.0
"""For a slot below the limits on concurrent requests."""

BODY_ADMISSION_SECONDS = 15.0
"""For memory to buffer an event batch. Senders of batches wait longer than readers."""

KEY_LOOKUP_SECONDS = 4.0
"""For the API key or session to be read."""

CONNECTION_SECONDS = 4.0
"""For a free connection of the pool."""

CONNECT_SECONDS = 5.0
"""For PostgreSQL to accept a new connection."""

STATEMENT_SECONDS = 8
"""For one SQL statement that reads; PostgreSQL cancels it then."""

WRITER_SECONDS = 8.0
"""For other writers of the same organization. Longer than they wait for a lock."""

LOCK_SECONDS = 5
"""For a row or table that another transaction has locked."""

PROBE_SECONDS = 1.0
"""For PostgreSQL to respond to the store monitor before it counts as down."""

BATCH_STATEMENT_SECONDS = 30
"""For one SQL statement that stores a batch of events."""
