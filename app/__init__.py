"""The chargeback admin API: who used how much of a shared experiment platform, month by month."""

__version__ = "0.1.0"
