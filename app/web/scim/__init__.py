"""SCIM 2.0 at `/scim/v2`: directories push accounts and groups, and read back what is stored."""

from app.web.scim.routes import routes

__all__ = ["routes"]
