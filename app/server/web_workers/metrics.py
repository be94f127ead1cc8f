"""The metrics of all workers: each may be asked, and asks the others over sockets in a folder."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from prometheus_client.core import Metric

_FETCH_SECONDS = 2
_LABEL = "worker"


class WorkerMetrics:
    """Gives the metrics of this worker to the others, and gathers those of all.

    Args:
        folder: The folder of the sockets, which only this user may open.
        number: The number of this worker.
        collect: Returns the metrics of this worker.
    """

    def __init__(self, folder: Path, number: int, collect: Callable[[], Iterable[Metric]]) -> None:
        self._folder, self._number, self._collect = folder, number, collect

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Answer the other workers while the block lasts."""
        path = self._folder / str(self._number)
        path.unlink(missing_ok=True)  # Of a worker that was killed.
        async with await asyncio.start_unix_server(self._send, path):
            yield

    async def _send(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(pickle.dumps(list(self._collect())))
        writer.close()

    async def gather(self) -> Iterable[Metric]:
        """Return the metrics of all workers, labelled with their numbers.

        A worker that is starting has none.
        """
        paths = sorted(self._folder.iterdir())
        found = await asyncio.gather(*map(_fetch, paths))
        merged: dict[str, Metric] = {}
        for path, metrics in zip(paths, found, strict=True):
            for metric in _label(metrics, path.name):
                if metric.name in merged:
                    merged[metric.name].samples += metric.samples
                else:
                    merged[metric.name] = metric
        return merged.values()


async def _fetch(path: Path) -> Sequence[Metric]:
    try:
        async with asyncio.timeout(_FETCH_SECONDS):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                pickled = await reader.read()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return []
    metrics: Sequence[Metric] = pickle.loads(pickled) if pickled else []  # noqa: S301  our own
    return metrics


def _label(metrics: Sequence[Metric], number: str) -> Iterator[Metric]:
    for metric in metrics:
        metric.samples = [
            sample._replace(labels={**sample.labels, _LABEL: number}) for sample in metric.samples
        ]
        yield metric
