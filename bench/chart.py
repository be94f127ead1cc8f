"""A bar chart in SVG, from the fastest to the slowest, with each bar's ratio to one of them."""

from collections.abc import Mapping
from html import escape

_WIDTH, _BAR, _GAP, _LABELS, _RIGHT, _TOP = 860, 26, 12, 270, 150, 62
_OURS, _OTHERS = "#2563eb", "#94a3b8"


def render_chart(title: str, seconds: Mapping[str, float], unit: str) -> str:
    """Return a bar chart in SVG; ratios are relative to the bar named `unit`."""
    height = _TOP + len(seconds) * (_BAR + _GAP) + 14
    longest = max(seconds.values())
    bars = [
        _bar(index, name, value, longest, value / seconds[unit])
        for index, (name, value) in enumerate(sorted(seconds.items(), key=lambda item: item[1]))
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="system-ui, sans-serif" font-size="14" role="img">'
    )
    heading = (
        f'<text x="20" y="34" font-size="17" font-weight="600" fill="#0f172a">'
        f"{escape(title)}</text>"
    )
    background = f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="#ffffff"/>'
    label = f"<title>{escape(title)}</title>"
    return "\n".join([head, label, background, heading, *bars, "</svg>\n"])


def _bar(index: int, name: str, value: float, longest: float, ratio: float) -> str:
    y = _TOP + index * (_BAR + _GAP)
    width = max(2.0, (_WIDTH - _LABELS - _RIGHT) * value / longest)
    colour = _OURS if name.startswith(("GraphQL", "REST")) else _OTHERS
    baseline = y + _BAR * 0.7
    return (
        f'<text x="{_LABELS - 12}" y="{baseline:.0f}" text-anchor="end" fill="#0f172a">'
        f"{escape(name)}</text>"
        f'<rect x="{_LABELS}" y="{y}" width="{width:.0f}" height="{_BAR}" rx="4" '
        f'fill="{colour}"/>'
        f'<text x="{_LABELS + width + 8:.0f}" y="{baseline:.0f}" fill="#334155">'
        f"{value:.2f} s · {ratio:.2f} \u00d7</text>"
    )
