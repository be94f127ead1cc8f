"""Time a month's report and a batch of the feed while the number of stored events grows.

    python -m bench.growth --millions 1 20

A statement inserts the usage events in the form in which the service stores them. Sending 20
million would take hours and give the same figures.
"""

import argparse
import asyncio
import shutil
import statistics
import time
from datetime import UTC, datetime
from uuid import UUID

import orjson
import uvloop

from app.clock import system_clock
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.ingest.store import CHUNK_SIZE
from app.server.store import open_store
from app.services.file_import import import_lines
from app.services.organizations import find_organization
from app.settings import Settings
from bench.processes import Client, run_server, service_command
from bench.store import CACHE, create_api_key, feed_lines, say

_INITIAL_EVENTS = 70_000
_READS = 25
_INSERT_SIZE = 1_000_000
_INSERT_EVENTS = """
    INSERT INTO event (organization_id, uid, partition_year, type, occurred_at, received_at,
                       subject_id, source, id, data)
    SELECT $1, md5('bench' || n)::uuid, $4, 'usage.recorded',
           timestamptz '2026-01-01' + n * interval '1 second', now(),
           (ARRAY(SELECT user_id FROM platform_user WHERE organization_id = $1))[1 + n % 1000],
           '/bench', n::text, '{"channel": "sdk", "username": "somebody"}'
    FROM generate_series($2::bigint, $3::bigint) AS n
"""


async def _insert_events(database: Database, organization_id: UUID, first: int, last: int) -> None:
    async with database.engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        year = datetime.now(UTC).year
        for start in range(first, last, _INSERT_SIZE):
            end = min(start + _INSERT_SIZE, last) - 1
            await raw.execute(_INSERT_EVENTS, organization_id, start, end, year, timeout=1_800)
            say(f"  {end + 1:,} events …")
        await raw.execute("VACUUM ANALYZE event", timeout=1_800)


async def _measure(client: Client, headers: dict[str, str], month: str, name: str) -> None:
    path = f"/api/admin/chargeback/report?reportMonth={month}"
    reads, batches = [], []
    for number in range(_READS):
        begin = time.perf_counter()
        await client.get(path)
        reads.append(time.perf_counter() - begin)
        body = _create_batch(f"{name}-{number}", month)
        begin = time.perf_counter()
        await asyncio.to_thread(client.request, "POST", "/api/events", body, headers)
        batches.append(time.perf_counter() - begin)
    print(
        f"{name} million events: report {1_000 * statistics.median(reads):.1f} ms, "
        f"batch of 1,000 usage events {1_000 * statistics.median(batches):.1f} ms",
        flush=True,
    )


def _create_batch(name: str, month: str) -> bytes:
    return orjson.dumps(
        [
            {
                "specversion": "1.0",
                "id": f"{name}-{number}",
                "source": "/bench",
                "type": "usage.recorded",
                "time": f"{month}-05T00:00:00Z",
                "data": {"username": f"user-{number % 100}", "channel": "sdk"},
            }
            for number in range(1_000)
        ]
    )


async def main(millions: list[int]) -> None:
    folder = CACHE / "growth"
    shutil.rmtree(folder, ignore_errors=True)
    lines = list(feed_lines(_INITIAL_EVENTS))
    month = orjson.loads(lines[-1])["time"][:7]
    async with open_store(Settings.load(database_url=None), folder, system_clock) as database:
        organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
        chunks = (lines[at : at + CHUNK_SIZE] for at in range(0, len(lines), CHUNK_SIZE))
        await import_lines(database, organization_id, chunks, system_clock())
        key = await create_api_key(database, organization_id)
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        async with run_server(
            service_command(folder), log=CACHE / "growth.log", headers={"Authorization": key}
        ) as client:
            await _measure(client, headers, month, "0")
            inserted = 0
            for million in millions:
                await _insert_events(database, organization_id, inserted, million * 1_000_000)
                inserted = million * 1_000_000
                await _measure(client, headers, month, str(million))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 20])
    uvloop.run(main(parser.parse_args().millions))
