"""From usage events to the rows of the store, and events made from a seed."""
