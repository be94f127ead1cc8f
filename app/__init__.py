"""The chargeback admin API: who used how much of a shared experiment platform, month by month."""

__version__ = "1.0.0"
