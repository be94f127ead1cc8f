"""Descriptions that several types share."""

UNMEASURED = "How many of these experiments have an unknown size. They count as 0 bytes."
ID_IN_REPORT = (
    "Opaque. Unique across organizations and months, so that a client's cache can use it."
)
