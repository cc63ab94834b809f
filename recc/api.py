"""What Python users call: load, compile, check and explain a spec, and the decorator that reads one from a function."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from recc import cache, catalogue
from recc.catalogue import Spec

if TYPE_CHECKING:
    from recc.compiler import Module


def load(
    source: Spec, /, *, name: str | None = None, method: str = "auto", backend: str = "auto", **constants: float
) -> Callable[..., Any]:
    """Compiles a spec and returns the emitted module's function, from the cache if it was compiled before.

    ``source`` is a path, a spec's text, the name of a shipped spec (``"gla"``), or a function; ``name`` chooses among
    several recurrences in one file; ``constants`` replace the values in the recurrence's header (``n=3``).
    Raises ``SpecError`` for a bad spec, ``FileNotFoundError`` for a path or name that is not there.
    """
    spec, values = catalogue.locate(source), _numbers(constants)

    def build() -> str:
        from recc.compiler import emit

        return emit(spec, name=name, constants=values, method=method, backend=backend)

    options = {f"constant {key}": value for key, value in values.items()}
    key = cache.key(_content(spec), {**options, "name": name, "method": method, "backend": backend})
    module = cache.load(_stem(spec, name), key, build)
    return getattr(module, name or module.__all__[0])


def compile(
    source: Spec,
    /,
    *,
    name: str | None = None,
    method: str = "auto",
    backend: str = "auto",
    command: str = "",
    **constants: float,
) -> str:
    """The emitted module's text. ``command`` is quoted in its header; the rest is as for ``load``."""
    from recc.compiler import emit

    spec, values = catalogue.locate(source), _numbers(constants)
    return emit(spec, name=name, constants=values, method=method, backend=backend, command=command)


def check(source: Spec, /, **constants: float) -> Module:
    """Reads a spec, and returns its recurrences in the IR. Raises ``SpecError`` with everything that is wrong."""
    from recc.compiler import front

    return front(catalogue.locate(source), _numbers(constants))


def explain(source: Spec, /, **constants: float) -> str:
    """Structure, proofs, refusals, the admissible methods with their costs, and the choice, as text."""
    from recc.compiler import analyse

    return analyse(catalogue.locate(source), _numbers(constants)).text()


class Recurrence:
    """A decorated function: called, it is the compiled recurrence; it is compiled when first used.

    It pickles by reference, as a function does, and one that is shared by threads is compiled once.
    """

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._compiled: Callable[..., Any] | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._ready(*args, **kwargs)

    def load(self, **options: Any) -> Callable[..., Any]:
        """The compiled function for other constants or another method; options as for ``recc.load``."""
        return load(self._function, **options)

    def compile(self, **options: Any) -> str:
        """The emitted module's text; options as for ``recc.compile``."""
        return compile(self._function, **options)

    def explain(self, **constants: float) -> str:
        """As ``recc.explain``."""
        return explain(self._function, **constants)

    @property
    def step(self) -> Callable[..., Any]:
        """``step(state, ...)`` of the compiled function, for decoding."""
        return self._ready.step  # pyright: ignore[reportFunctionMemberAccess]

    @property
    def initial_state(self) -> Callable[..., Any]:
        """``initial_state(...)`` of the compiled function."""
        return self._ready.initial_state  # pyright: ignore[reportFunctionMemberAccess]

    @property
    def _ready(self) -> Callable[..., Any]:
        _prepare(self)
        assert self._compiled is not None
        return self._compiled

    def __reduce__(self) -> str:
        return self.__qualname__

    def __repr__(self) -> str:
        return f"<recurrence {self.__qualname__}>"


def _prepare(decorated: Recurrence) -> None:
    if decorated._compiled is None:
        with decorated._lock:
            if decorated._compiled is None:
                decorated._compiled = load(decorated._function)


# What `torch.compiler.assume_constant_result` does, without importing torch: a first use inside of `torch.compile` runs
# this instead of tracing it, so that `fullgraph=True` works there too.
vars(_prepare)["_dynamo_marked_constant"] = True


@overload
def recurrence(function: Callable[..., Any], /) -> Recurrence: ...


@overload
def recurrence(*, over: str | tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Recurrence]: ...


def recurrence(function: Callable[..., Any] | None = None, /, *, over: str | tuple[str, ...] = ()) -> Any:
    """Decorates a function that is a recurrence: read as a spec, never run.

    ``over`` names the step (``over="n"``), as in a ``.rec`` header; the reader takes it from the source.
    """
    if function is None:
        return recurrence
    if not inspect.isfunction(function):
        raise TypeError(f"@recc.recurrence decorates a function, not {type(function).__name__}")
    return Recurrence(function)


def _content(spec: str | Path | Callable[..., object]) -> list[str]:
    """Everything outside of recc that the emitted text depends on."""
    if isinstance(spec, str):
        return ["text", spec, *catalogue.imported(spec, Path()).values()]
    if isinstance(spec, Path):
        text = spec.read_bytes().decode("utf-8", "surrogateescape")
        return [spec.name, text, *catalogue.imported(text, spec.parent).values()]
    try:
        lines, first = inspect.getsourcelines(spec)
    except (OSError, TypeError):
        return ["function without source", repr(spec)]  # the front end says what is wrong with it
    return [inspect.getsourcefile(spec) or "", str(first), *lines]


def _stem(spec: str | Path | Callable[..., object], name: str | None) -> str:
    text = name or (spec.stem if isinstance(spec, Path) else getattr(spec, "__name__", "recurrence"))
    text = re.sub(r"[^A-Za-z0-9_]", "_", text)[:60]
    return text if text[:1].isalpha() else f"_{text}"


def _numbers(constants: dict[str, Any]) -> dict[str, int | float]:
    return {name: _number(name, value) for name, value in constants.items()}


def _number(name: str, value: object) -> int | float:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise TypeError(f"the constant {name} is a finite number, not {value!r}")
