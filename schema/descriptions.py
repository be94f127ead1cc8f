"""Descriptions that several types share."""

UNMEASURED = "How many of these experiments have an unknown size. They count as 0 bytes."
