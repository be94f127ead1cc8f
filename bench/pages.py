"""The first view of the page Month: each query that it sends, one after the other."""

import asyncio
import re
from collections.abc import Mapping
from functools import partial

from playwright.async_api import Request, async_playwright

from bench.measure import Timing, time_run
from bench.processes import Client, run_server, service_command
from bench.store import MONTH, Store, say

VIEWS = ("workspace", "project", "user")
_OPERATION = re.compile(r"query (\w+)")


async def measure_pages(store: Store, rounds: int) -> Mapping[str, Timing]:
    """Record the queries of each view in a browser, then time each of them over HTTP.

    The first of a query's times is that of its first run after the service started.
    """
    say(f"Pages: the queries of {len(VIEWS)} views of the month, {rounds} rounds …")
    log = store.folder / "pages.log"
    command = service_command(store.folder)
    headers = {"Authorization": store.key, "Content-Type": "application/json"}
    async with run_server(command, log=log) as service:
        bodies = await _record_queries(service.port, store.key)
    timings: dict[str, Timing] = {}
    async with run_server(command, log=log, headers=headers) as service:
        for name, body in bodies.items():
            timings[name] = await _time_query(service, body, rounds)
    return timings


async def _record_queries(port: int, key: str) -> Mapping[str, bytes]:
    """Return the body of each query that the views send, by the name of its operation."""
    bodies: dict[str, bytes] = {}
    address = f"http://127.0.0.1:{port}"

    def record(request: Request) -> None:
        body = request.post_data_buffer
        if request.url == f"{address}/graphql" and body:
            [name] = _OPERATION.findall(body.decode())
            bodies.setdefault(name, body)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = await browser.new_page()
        page.on("request", record)
        await page.context.request.post(f"{address}/signin", form={"key": key}, max_redirects=0)
        for view in VIEWS:
            await page.goto(f"{address}/months/{MONTH}?by={view}")
            await page.locator(".data-table tfoot").wait_for()
            await page.wait_for_load_state("networkidle")
        await browser.close()
    return bodies


async def _time_query(service: Client, body: bytes, rounds: int) -> Timing:
    run = partial(asyncio.to_thread, service.request, "POST", "/graphql", body, {})
    return Timing([await time_run(run) for _ in range(rounds)])
