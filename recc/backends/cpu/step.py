"""A kernel as two functions of C: what comes before all steps, and one step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recc.backends.cpu.expression import Printer
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT, TYPES, StatementPrinter
from recc.ir.kernel import Array, Kernel, Statement
from recc.ir.nodes import Size

KEPT = ("kept", "given")
IN_MEMORY = frozenset({"local", "missed", "state", "total"})


@dataclass(frozen=True)
class Parameter:
    """An array that a function is given, and how it declares it."""

    array: Array
    text: str


class StepPrinter:
    """Prints a kernel; `prefix` names its functions and its memory. If it is one of stretches, its step is told its
    number of `rows`."""

    def __init__(self, kernel: Kernel, prefix: str, names: Names, used: set[str], rows: str = ""):
        self.kernel, self.prefix, self._names, self._rows = kernel, prefix, names, rows
        self._arrays = {array.name: array for array in kernel.arrays}
        self.used = used
        self._printer = Printer(self._reference, names, used)
        self.statements = StatementPrinter(self._printer, self._arrays, rows)

    def in_memory(self, array: Array) -> bool:
        return array.storage in IN_MEMORY and not (self.kernel.separate and array.storage == "state")

    def _reference(self, name: str) -> str:
        array = self._arrays.get(name)
        if array is None:
            return self._names(name)
        if self.in_memory(array):
            return f"m->{self._names(name)}"
        return self._given_name(array) if array.sizes else f"{self._given_name(array)}[0]"

    def _given_name(self, array: Array) -> str:
        """What an array is called as a parameter; one that is kept while it is computed has its name twice."""
        return f"kept_{self._names(array.name)}" if array.storage in KEPT else self._names(array.name)

    def sizes(self, array: Array) -> str:
        return "".join(f"[{self._printer.size(size)}]" for size in array.sizes)

    def count(self, array: Array) -> str:
        """The number of elements of an array."""
        return " * ".join(self._printer.size(size) for size in array.sizes) or "1"

    def size(self, size: Size) -> str:
        return self._printer.size(size)

    def row_count(self, array: Array) -> str:
        """The number of elements of one of a block's rows."""
        return " * ".join(self._printer.size(size) for size in array.sizes[1:]) or "1"

    def memory(self, extra: Iterable[str] = ()) -> str:
        """The structure that holds states, sums and what a step computes for itself."""
        fields = [
            f"{INDENT}{TYPES[array.kind]} {self._names(array.name)}{self.sizes(array)}{ALIGNED if array.sizes else ''};"
            for array in self.kernel.arrays
            if self.in_memory(array)
        ]
        body = "\n".join([*fields, *(f"{INDENT}{line}" for line in extra)] or [f"{INDENT}char nothing;"])
        return f"struct {self.prefix}_memory {{\n{body}\n}};"

    def parameters(self, *storages: str) -> list[Parameter]:
        """The arrays of some storages that are not in memory, as parameters."""
        arrays = [array for storage in storages for array in self.kernel.arrays if array.storage == storage]
        return [Parameter(array, self._parameter(array)) for array in arrays if not self.in_memory(array)]

    def pointer(self, array: Array) -> str:
        """The type of a pointer to an array's first element along its first axis; of one row where rows lie apart."""
        rest = self.sizes_of_row(array)
        return f"real (*){rest}" if rest else "real *"

    def sizes_of_row(self, array: Array) -> str:
        """The sizes of all axes but the first; where rows lie apart, of a row's axes but the first."""
        return "".join(f"[{self._printer.size(size)}]" for size in array.sizes[1 + array.scattered :])

    def _parameter(self, array: Array) -> str:
        constant = "" if array.storage in ("output", "next", "kept") else "const "
        name = self._given_name(array)
        rest = self.sizes_of_row(array)
        if array.scattered:
            return (
                f"{constant}real (*const *restrict {name}){rest}" if rest else f"{constant}real *const *restrict {name}"
            )
        return f"{constant}real (*restrict {name}){rest}" if rest else f"{constant}real *restrict {name}"

    def before(self) -> str:
        """`PREFIX_before`: constants that are made of params; an empty text if there are none."""
        if not self.kernel.before:
            return ""
        return self._function("before", self.parameters("param"), self.kernel.before)

    def step(self) -> str:
        return self._function("step", self.step_parameters(), self.kernel.step)

    def step_parameters(self) -> list[Parameter]:
        return self.parameters("input", "param", "state", "next", *KEPT, "ahead", "output")

    def _function(self, what: str, parameters: list[Parameter], body: tuple[Statement, ...]) -> str:
        own = ["const struct part *me"] if self.kernel.block and what == "step" else []
        own += [f"int {self._rows}"] if self._rows and what == "step" else []
        given = [f"struct {self.prefix}_memory *restrict m", *own, *(parameter.text for parameter in parameters)]
        lines = "\n".join(self.statements.lines(body))
        head = wrapped_list(f"static void {self.prefix}_{what}(", given, ") {")
        return f"{head}\n{lines}\n}}" if lines else f"{head}\n}}"


ALIGNED = " __attribute__((aligned(64)))"


def wrapped_list(head: str, items: list[str], tail: str, width: int = 116, depth: int = 0) -> str:
    """Items between brackets, over as many lines as they need."""
    lines = [INDENT * depth + head]
    for place, item in enumerate(items):
        text = item + ("," if place + 1 < len(items) else "")
        if len(lines[-1]) + len(text) + 1 > width:
            lines.append(INDENT * (depth + 1) + text)
        else:
            lines[-1] += ("" if lines[-1].endswith("(") else " ") + text
    lines[-1] += tail
    return "\n".join(lines)
