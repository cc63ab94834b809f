"""The C text of a recurrence as it stands in an emitted module."""

from __future__ import annotations

from dataclasses import dataclass

from recc.backends.cpu.source import print_source, size_macros
from recc.ir.nodes import Recurrence


@dataclass(frozen=True)
class NativeText:
    """C text and the macros of its sizes; or, without a text, why there is none."""

    source: str
    sizes: tuple[tuple[str, str], ...]
    reason: str = ""

    @property
    def literal(self) -> str:
        """The text as an assignment."""
        return f'NATIVE = r"""\n{self.source}"""'


def print_native(recurrence: Recurrence, primal: Recurrence, adjoint: Recurrence, backend: str) -> NativeText:
    """The C text of a recurrence, from its guarded primal and adjoint; none for the backend "torch"."""
    if backend == "torch":
        return NativeText("", (), "it was compiled with `--backend torch`")
    try:
        return NativeText(print_source(primal, adjoint), tuple(size_macros(recurrence).items()))
    except NotImplementedError as problem:
        return NativeText("", (), f"there is no native code for {problem}")
