"""`python -m app` is the `chargeback` command."""

from app.cli import main

main()
