"""recc, a compiler for recurrences: a few lines of mathematics in, a standalone differentiable PyTorch module out.

Importing this package imports neither torch nor the compiler: each public name is fetched when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recc.api import check, compile, explain, load, recurrence
    from recc.diagnostics import SpecError
    from recc.frontend.python import In, Out, Param, State

__version__ = "0.1.0"

__all__ = [
    "In",
    "Out",
    "Param",
    "SpecError",
    "State",
    "__version__",
    "check",
    "compile",
    "explain",
    "load",
    "recurrence",
]

_HOME = {
    "In": "recc.frontend.python",
    "Out": "recc.frontend.python",
    "Param": "recc.frontend.python",
    "SpecError": "recc.diagnostics",
    "State": "recc.frontend.python",
    "check": "recc.api",
    "compile": "recc.api",
    "explain": "recc.api",
    "load": "recc.api",
    "recurrence": "recc.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
