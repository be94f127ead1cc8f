"""Descriptions that several types share."""

UNMEASURED = "The experiments among these whose size is unknown. They count as 0 bytes."
