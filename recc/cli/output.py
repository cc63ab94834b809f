"""How the command line writes: to the terminal, and to files that are replaced as a whole or not at all."""

import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from recc.diagnostics import SpecError


class CommandLineError(Exception):
    """Something that was asked for on the command line cannot be done; the message says what."""


def show_text(text: str) -> None:
    """Writes to standard output."""
    sys.stdout.write(text)
    sys.stdout.flush()


def discard_output() -> None:
    """Sends what standard output still holds nowhere: the interpreter flushes it as it exits, and would fail again."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_table(table: "Table", least: int = 0) -> None:
    """Prints a table at the width of the terminal, in colour if it is one; at ``least`` that wide all the same."""
    from rich.console import Console

    console = Console(soft_wrap=False)
    console.width = max(console.width, least)
    with console.capture() as captured:
        console.print(table)
    show_text(captured.get())


def show_error(error: "SpecError") -> None:
    """Prints a bad spec's findings to standard error, in colour on a terminal."""
    from recc.diagnostics import render_all

    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stderr.write(render_all(error.diagnostics, color=colour) + "\n")


def error_console() -> "Console":
    """A console on standard error, for progress bars and remarks."""
    from rich.console import Console

    return Console(stderr=True)


def check_target(path: Path, source: object = None) -> None:
    """Exits with 2 if ``path`` cannot be written, or is ``source``, before any work is done for it."""
    if path.is_dir():
        raise CommandLineError(f"{path} is a directory")
    folder = _real(path).parent
    if not folder.is_dir():
        raise CommandLineError(f"the folder {folder} does not exist")
    if path.exists():
        if isinstance(source, Path) and path.samefile(source):
            raise CommandLineError(f"{path} is the spec itself")
        if not os.access(path, os.W_OK):
            raise CommandLineError(f"{path} cannot be written")
    if _is_replaceable(path) and not os.access(folder, os.W_OK | os.X_OK):
        raise CommandLineError(f"nothing can be written into the folder {folder}")


def write_file(path: Path, text: str) -> None:
    """Replaces ``path`` by ``text``, at once and as a whole; a link stays a link, permissions stay as they were."""
    try:
        if _is_replaceable(path):
            _replace(_real(path), text)
        else:  # a device or a pipe: there is nothing to lose, and it must not turn into a file
            path.write_text(text, encoding="utf-8", newline="\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandLineError(f"{path} cannot be written: {error.strerror}") from None


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _is_replaceable(path: Path) -> bool:
    return not path.exists() or path.is_file()


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, _mode(path))
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _mode(path: Path) -> int:
    if path.exists():
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
