"""Which spec is meant: a path, a text, the name of a spec that ships with recc, or a decorated function."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

Spec = str | os.PathLike[str] | Callable[..., object]


def shipped() -> dict[str, Path]:
    """The specs that come with recc, by name: in an installed package inside of it, in a checkout beside it."""
    package = Path(__file__).parent
    for folder in (package / "specs", package.parent / "specs"):
        if found := sorted(folder.rglob("*.rec"), key=lambda path: path.stem):
            return {path.stem: path for path in found}
    return {}


def locate(spec: Spec) -> str | Path | Callable[..., object]:
    """The text, the path of a file, or the plain function that ``spec`` stands for.

    A string with a line break in it is a text. Any other is a path or, first if it is a bare word, a shipped name.
    Raises ``FileNotFoundError`` with the names that are close, and ``IsADirectoryError``.
    """
    if callable(spec):
        return getattr(spec, "__wrapped__", spec)
    if isinstance(spec, str):
        if "\n" in spec or "\r" in spec:
            return spec
        if spec.isidentifier() and spec in (known := shipped()):
            return known[spec]
    elif not isinstance(spec, os.PathLike):
        raise TypeError(f"a spec is a path, a text, a name or a function, not {type(spec).__name__}")
    path = Path(spec)
    if not os.fspath(spec) or "\0" in str(path) or not path.exists():
        raise FileNotFoundError(_not_found(os.fspath(spec)))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory, not a spec")
    return path


def imported(text: str, folder: Path) -> dict[Path, str]:
    """The files, with texts, that a spec in ``folder`` reads with ``from NAME import ...``, and that these read."""
    found: dict[Path, str] = {}
    waiting = [(text, folder)]
    while waiting:
        text, folder = waiting.pop()
        for module in re.findall(r"^\s*from\s+(\w+(?:\.\w+)*)\s+import\b", text, re.MULTILINE):
            path = folder.joinpath(*module.split(".")).with_suffix(".rec")
            if path not in found and path.is_file():
                found[path] = path.read_bytes().decode("utf-8", "surrogateescape")
                waiting.append((found[path], path.parent))
    return found


def _not_found(text: str) -> str:
    if not text:
        return "there is no spec with an empty name"
    path = Path(text.replace("\0", "?"))
    candidates = dict.fromkeys(shipped())
    if path.parent.is_dir():
        candidates |= dict.fromkeys(str(other) for other in sorted(path.parent.glob("*.rec")))
    close = get_close_matches(text, candidates, n=3) + get_close_matches(path.stem, candidates, n=3)
    hint = f"; did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
    kind = "spec file or shipped spec" if text.isidentifier() else "spec file"
    return f"there is no {kind} {str(path)!r}{hint}"
