"""The specs that ship with recc, each by its name: ``recc.specs.gla`` is ``recc.load("gla")``.

``dir(recc.specs)`` lists them. A name is compiled when it is first used; importing this module compiles nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recc.catalogue import shipped


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in shipped():
        raise AttributeError(f"no spec called {name!r} ships with recc; `recc list` shows those that do")
    from recc.api import load

    return load(name)


def __dir__() -> list[str]:
    return sorted([*shipped(), "path", "text"])


def path(name: str) -> Path:
    """The file of a shipped spec. Raises KeyError if there is none of that name."""
    return shipped()[name]


def text(name: str) -> str:
    """The text of a shipped spec. Raises KeyError if there is none of that name."""
    return path(name).read_text(encoding="utf-8")
