"""The store: PostgreSQL through async SQLAlchemy. The only place that speaks SQL."""
