"""The command line ``recc``. Exit codes: 0 good, 1 the spec is bad, 2 the command line is bad, 130 interrupted."""

import sys
from io import TextIOWrapper
from typing import NoReturn


def main(args: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits; ``args`` are the process's by default."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a character gets its escape, not a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(_run(args))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(args: list[str] | None) -> int:
    # Imported here, so that an interrupt while the libraries load is as quiet as any other.
    from recc.cli.app import app
    from recc.cli.output import CommandLineError, discard_output, show_error
    from recc.diagnostics import SpecError

    try:
        app(args, prog_name="recc")
    except SpecError as error:
        show_error(error)
        return 1
    except (CommandLineError, OSError) as error:
        discard_output()
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
