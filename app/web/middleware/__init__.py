"""ASGI middleware that applies to every route."""
