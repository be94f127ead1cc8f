"""Chromium without access to other hosts, and what the tests watch in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.npm_packages import install_npm_packages

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
ARTIFACTS = Path("artifacts")
_NPM = Path(__file__).parent / "npm"
expect.set_options(timeout=30_000)  # A busy machine starts slowly.


@contextmanager
def launch_chromium() -> Iterator[Browser]:
    """Start the system's Chromium; close it at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


@dataclass
class PageMonitor:
    """Collects requests to other hosts, errors, and violations of the security policy."""

    foreign: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def watch(self, page: Page, own: str) -> None:
        """Watch a page of the service at the address `own`."""
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((own, "data:"))
                else self.foreign.append(request.url)
            ),
        )
        page.on("pageerror", lambda error: self.violations.append(str(error)))
        page.on("console", lambda message: self._note(message.text))

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.violations.append(text)


def save_screenshot(page: Page, name: str, *, full_page: bool = False) -> None:
    """Save a screenshot for the documentation (`make screenshots`)."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=full_page)


def find_axe_violations(page: Page) -> list[tuple[str, list[str]]]:
    """Return what the accessibility checker axe finds on a page: rules and elements."""
    axe = install_npm_packages(_NPM) / "node_modules" / "axe-core" / "axe.min.js"
    page.evaluate(axe.read_text())
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
