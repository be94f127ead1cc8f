"""Generate a sample organization and its events from a seed.

The code reads no clock, file or environment and uses no floats, sets or hashes, so a seed gives
the same bytes on every machine and Python version.
"""
