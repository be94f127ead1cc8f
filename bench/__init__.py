"""The product beside its alternatives, in one run on one store: `python -m bench`."""
