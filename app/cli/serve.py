"""`chargeback serve`: run the service."""

from typing import Annotated

import typer
import uvloop

from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile
from app.settings import Settings


def serve(
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            metavar="PORT", help="The port to listen on; 0 picks a free one.", min=0, max=65535
        ),
    ] = 8000,
    workers: Annotated[
        int, typer.Option(metavar="N", help="How many processes answer requests.", min=1)
    ] = 1,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Load the demo organization if the store is empty.")
    ] = False,
) -> None:
    """Serve GraphQL, REST and GraphiQL until Ctrl-C."""
    # Imported here: only this command needs the schema and the web service, which load slowly.
    from app.server.serve import serve as serve_until_signal

    settings = Settings.load(env_file)
    uvloop.run(
        serve_until_signal(
            settings, host=host, port=port, data_dir=data_dir, demo=demo, workers=workers
        )
    )
