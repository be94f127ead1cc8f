"""`chargeback generate`: events of a made-up organization."""

import sys
from typing import Annotated

import typer

from app.cli.options import parse_instant
from app.demo.generate import DEMO_SEED, OrganizationShape, generate_events
from app.domain.errors import InvalidArgument


def generate(
    seed: Annotated[
        int, typer.Option(metavar="N", help="The random seed: another seed, another organization.")
    ] = DEMO_SEED,
    until: Annotated[
        str,
        typer.Option(
            metavar="MONTH|TIME", help="The end of the history; a month means its start."
        ),
    ] = "2026-11",
    months: Annotated[int, typer.Option(metavar="N", help="Months of history.")] = 24,
    workspaces: Annotated[int, typer.Option(metavar="N", help="Number of workspaces.")] = 14,
    users: Annotated[int, typer.Option(metavar="N", help="Number of users.")] = 120,
    benchmark: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Generate the benchmark's organization instead, N times as large.",
            show_default=False,
        ),
    ] = 0,
) -> None:
    """Write the events of a made-up organization to stdout. Equal options give equal bytes."""
    try:
        shape = (
            OrganizationShape.benchmark(benchmark)
            if benchmark
            else OrganizationShape(workspaces=workspaces, users=users, months=months)
        )
        lines = generate_events(shape, seed=seed, until=parse_instant(until))
    except ValueError as error:
        raise InvalidArgument(f"{error}.") from None
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stderr.close()  # The reader, such as `| head`, has closed the pipe.
