"""Send a health check every 10 ms, from a separate process."""

import sys
import time

import orjson

from bench.processes import Client

_INTERVAL_SECONDS = 0.01


def main(port: int, seconds: float) -> None:
    client = Client(port, 0)
    latencies = []
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        client.request("GET", "/clientlib/isAlive/ver", None, {})
        latencies.append(time.perf_counter() - start)
        due = max(due + _INTERVAL_SECONDS, time.perf_counter())
    sys.stdout.buffer.write(orjson.dumps(latencies))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
