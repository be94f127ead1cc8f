"""The store: PostgreSQL through async SQLAlchemy. SQL is only here and in `app.postgres`."""
