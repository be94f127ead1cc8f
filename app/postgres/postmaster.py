"""PostgreSQL's `postmaster.pid` file, and whether a server responds on its socket."""

import socket
from pathlib import Path
from typing import NamedTuple

from app.postgres.programs import EmbeddedPostgresError


class Postmaster(NamedTuple):
    """The lines of `postmaster.pid`, which may be stale; missing ones are ""."""

    pid: str
    cluster: str
    started_at: str
    port: str
    socket_folder: str
    address: str
    shared_memory: str
    status: str

    @classmethod
    def read(cls, cluster: Path) -> "Postmaster":
        """Read the file of a cluster; all lines are "" when there is none."""
        try:
            lines = (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return cls(*[line.strip() for line in [*lines, *[""] * 8][:8]])

    @property
    def is_ready(self) -> bool:
        """Whether the server accepts connections."""
        return self.status == "ready"

    def remove_stale_file(self, cluster: Path) -> None:
        """Remove the file, while our lock proves that no server of ours runs.

        Another process may have its pid by now, and PostgreSQL would not start while that one
        lives. A server that somebody started by hand responds on its socket. If it has none,
        PostgreSQL itself refuses to start, because it finds the shared memory in use.

        Raises:
            EmbeddedPostgresError: A server that somebody started by hand runs on the cluster.
        """
        if self.cluster == str(cluster) and responds(f"{self.socket_folder}/.s.PGSQL.{self.port}"):
            message = f"PostgreSQL {self.pid} runs on {cluster}, started by somebody else"
            raise EmbeddedPostgresError(f"{message}: stop it first.")
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def responds(socket_path: str) -> bool:
    """Whether a server accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        return client.connect_ex(socket_path) == 0
