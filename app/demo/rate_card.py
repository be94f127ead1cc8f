"""The rate card of the demo organization, as a file for `chargeback rates apply`."""

from app.domain.months import Month

_MONTHS_SINCE_PRICE_CHANGE = 3

_RATE_CARD = """\
currency = "EUR"

[cost_centres]
4100 = "Perception"
4200 = "Language"
4300 = "Robotics"
4400 = "Commerce"
4500 = "Operations"
4600 = "Research"

[rates.storage]
name = "Storage"
measure = "STORAGE"
prices = {{ {first} = 0.20, {change} = 0.23 }}

[rates.experiments]
name = "Experiments"
measure = "EXPERIMENTS_CREATED"
prices = {{ {first} = 0.05 }}

[rates.seats]
name = "Seats"
measure = "SEATS"
prices = {{ {first} = 24.99 }}

[rates.sdk]
name = "SDK uses"
measure = "SDK_USES"
prices = {{ {first} = 0.002 }}

[rates.platform]
name = "Platform"
measure = "FEE"
split = "PROPORTIONAL"
prices = {{ {first} = 1000 }}

[workspaces]
"""
"""The workspace `simulation` is left unassigned."""

_ASSIGNED = {
    "4100": ("vision", "quality-inspection"),
    "4200": ("language", "speech", "search-relevance"),
    "4300": ("planning", "robotics-control", "predictive-maintenance"),
    "4400": ("recommendations", "pricing"),
    "4500": ("forecasting", "fraud-detection"),
    "4600": ("research",),
}


def demo_rate_card(first: Month, current: Month) -> str:
    """Return six cost centres and five rates, one with a price that changed lately.

    Args:
        first: The first month of the demo.
        current: The month in which it is loaded.
    """
    change = current.plus(-_MONTHS_SINCE_PRICE_CHANGE)
    assignments = [
        f'{workspace} = {{ {first} = "{code}" }}\n'
        for code, workspaces in _ASSIGNED.items()
        for workspace in workspaces
    ]
    return _RATE_CARD.format(first=first, change=change) + "".join(assignments)
