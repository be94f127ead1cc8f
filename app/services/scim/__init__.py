"""SCIM: read resources, and change them together with the events that the changes state."""
