"""The sockets on which `serve` listens."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from app.domain.errors import ChargebackError

_BACKLOG = 2048


class PortTaken(ChargebackError):
    """The address to listen on is in use or not available."""

    code, status = "PORT_TAKEN", 503


@contextmanager
def bind(host: str, port: int, count: int = 1) -> Iterator[Sequence[socket.socket]]:
    """Listen on an address with several sockets, among which the system spreads connections.

    Args:
        host: The address, or a name that has one.
        port: The port; 0 picks a free one.
        count: How many sockets.

    Raises:
        PortTaken: The address is in use or not available.
    """
    with ExitStack() as cleanup:
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            first = cleanup.enter_context(_listen(family, address[:2]))
            # Set only now, so that binding fails while another process listens on the port.
            first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound = first.getsockname()[:2]
            others = [
                cleanup.enter_context(_listen(family, bound, reuse_port=True))
                for _ in range(count - 1)
            ]
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise PortTaken(
                f"Cannot listen on {host}:{port}: {reason}. Choose another with --port."
            ) from None
        yield [first, *others]


def _listen(family: int, address: Any, *, reuse_port: bool = False) -> socket.socket:
    listener = socket.create_server(
        address, family=family, backlog=_BACKLOG, reuse_port=reuse_port
    )
    listener.setblocking(False)
    return listener
