"""Pages keep their place while they load."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.months import latest_month
from tests.server_process import ServerProcess

OBSERVE = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
LARGEST_SHIFT = 0.1
"""What browsers call good: the part of the window that moves, times how far."""


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("address", ["/months/{}", "/licences", "/statements", "/close"])
def test_a_page_does_not_jump_while_it_loads(
    page: Page, service: ServerProcess, address: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(OBSERVE)
    page.goto(f"{service.url}{address.format(f'{latest_month():%Y-%m}')}")
    expect(page.locator(".data-table tbody tr, .checks li").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    expect(page.locator("[aria-busy]")).to_have_count(0)

    assert page.evaluate("window.shifts.reduce((sum, each) => sum + each, 0)") < LARGEST_SHIFT
