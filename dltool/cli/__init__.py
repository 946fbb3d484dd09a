"""The command line: one module a subcommand."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; raise SystemExit with its status."""
    from dltool.cli.app import main as run

    run(arguments)
