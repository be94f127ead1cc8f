"""PostgreSQL as a server: the embedded one, opening a store, dump and restore."""
