"""An organization made from a seed: who and what there is, what becomes of it, who does what when.

Nothing here reads a clock, a file or the environment, and nothing computes with floats, sets or
hashes, so that a seed gives the same bytes on every machine and Python.
"""
