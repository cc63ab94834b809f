"""What functions that walk blocks do for several steps at once: products ahead of them, and outputs behind them."""

from __future__ import annotations

from collections.abc import Sequence

from recc.backends.cpu.blocks import Blocks
from recc.backends.cpu.drive import Tensor
from recc.backends.cpu.names import Names, RowNames
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import StepPrinter
from recc.backends.cpu.walk import given_params
from recc.ir.kernel import ROWS, Array, Kernel

OPENED = """const int64_t left = {end} - {first};
const int rows = BLOCK_ROWS * (int)(left < {steps} ? left : {steps});
const struct part wide = widened(me, rows);"""
ROW = """    const int row = at % BLOCK_ROWS;
    const int64_t step = {start}{first} + at / BLOCK_ROWS;"""
EACH = "for (int at = wide.first; at < wide.end; at++) {"
ENDED = "if (step >= block.count[row])"
TIME = "const int64_t t = shape[REVERSE] ? block.count[row] - 1 - step : step;"


def timed_arrays(*kernels: Kernel | None) -> tuple[Array, ...]:
    """The arrays of steps and stretches whose rows lie apart."""
    found: list[Array] = []
    for kernel in kernels:
        if kernel is not None:
            found += [*timed_arrays(kernel.ahead, kernel.behind), *(a for a in kernel.arrays if a.scattered)]
    return tuple(found)


class Stretch:
    """A kernel of stretches beside a step: `what` is "ahead" or "behind" of it. Its memory is held under its name."""

    def __init__(
        self, kernel: Kernel, what: str, step: StepPrinter, names: Names, tensors: list[Tensor], params: list[Tensor]
    ):
        self.name = f"{step.prefix}_{what}"
        self.steps, self._rows = f"{self.name.upper()}_STEPS", f"{self.name.upper()}_ROWS"
        self._names = RowNames(names, ROWS, self._rows)
        self.printer = StepPrinter(kernel, self.name, self._names, step.used, "rows")
        self._blocks = Blocks(self.printer, self._names, self.name, "at")
        timed = {port.name for port in (*kernel.inputs, *kernel.outputs)}
        self.tensors = [tensor for tensor in tensors if tensor.port.name in timed]
        self._w = [tensor for tensor in params if tensor.port.name in {port.name for port in kernel.params}]
        self._step = step
        step.used.add("stretches")

    @property
    def held(self) -> dict[str, tuple[str, str]]:
        return {self.name: (f"struct {self.name}_memory", f"sizeof(struct {self.name}_memory)")}

    def text(self) -> list[str]:
        """How many steps a stretch has, and the functions for it."""
        arrays = [a for a in self.printer.kernel.arrays if a.storage in ("local", "input") and not a.scattered]
        numbers = [self.printer.row_count(array) for array in arrays if array.sizes[:1] == (ROWS,)]
        size = f"BLOCK_ROWS * sizeof(real) * ({' + '.join(numbers) or '1'})"
        sizes = f"enum {{ {self.steps} = STRETCH({size}) }};\nenum {{ {self._rows} = BLOCK_ROWS * {self.steps} }};"
        memory = self.printer.memory(self._blocks.buffers(self.tensors, self._rows))
        return [sizes, memory, self.printer.before(), self.printer.step()]

    def before(self, main: Blocks) -> list[str]:
        """What is made of params alone."""
        if not self.printer.kernel.before:
            return []
        return [self._blocks.driver.call("before", given_params(main.driver, self._w), 2, self.name)]

    def _opening(self, first: str, end: str) -> list[str]:
        lines = OPENED.format(first=first, end=end, steps=self.steps).splitlines()
        return [*lines, *self._blocks.values(self.tensors, 0, self._rows)]

    def _each(self, first: str, start: str, absent: list[str], body: list[str]) -> list[str]:
        """All steps of all rows that have them."""
        lines = [EACH, *ROW.format(first=first, start=f"{start} + " if start else "").splitlines()]
        if absent:
            lines += [f"{INDENT}{ENDED} {{", *absent, f"{INDENT * 2}continue;", f"{INDENT}}}"]
        else:
            lines += [f"{INDENT}{ENDED} continue;"]
        return [*lines, f"{INDENT}{TIME}", *body, "}"]


class Ahead(Stretch):
    """What is computed before the steps of a stretch."""

    def lines(self, main: Blocks, test: str, first: str, end: str, start: str, depth: int) -> list[str]:
        """Where `test` says that a stretch begins: the steps from `first` to before `end`, beyond `start`."""
        blocks = self._blocks
        absent = blocks.absent(self.tensors, 2, "m->")
        loaded = [line for tensor in self.tensors for line in blocks.load(tensor, 1)]
        given = ["&wide", "rows", *blocks.given(self.tensors), *given_params(main.driver, self._w)]
        lines = [*self._opening(first, end), *self._each(first, start, absent, loaded)]
        head = f"{INDENT * depth}if ({test}) {{ /* what waits for no state, for several steps at once */"
        call = blocks.driver.call("step", given, depth + 1, self.name)
        return [head, *(f"{INDENT * (depth + 1)}{line}" for line in lines), call, f"{INDENT * depth}}}"]

    def given(self) -> list[str]:
        """What step `n` is given of it."""
        arrays = [array.name for array in self._step.kernel.arrays if array.storage == "ahead"]
        return [f"{self.name}->{self._names(name)} + n % {self.steps} * BLOCK_ROWS" for name in arrays]


class Behind(Stretch):
    """What is computed after the steps of a stretch, from what is kept of them."""

    @property
    def past(self) -> list[Array]:
        return [array for array in self.printer.kernel.arrays if array.storage == "input"]

    def _name(self, array: Array) -> str:
        return f"past_{self._names(array.name)}"

    def held_past(self, steps: str) -> dict[str, tuple[str, str]]:
        """The memory for what it reads of some steps."""
        sizes = {array: f"(size_t){steps} * BLOCK_ROWS * {self.printer.row_count(array)}" for array in self.past}
        return {self._name(array): ("real", f"{size} * sizeof(real)") for array, size in sizes.items()}

    def kept_rows(self, row: str) -> list[tuple[str, str, str]]:
        """What it reads of a `row` of a step: its name, where that is kept, and its size."""
        counts = [self.printer.row_count(array) for array in self.past]
        return [
            (array.name, f"{self._name(array)} + {row} * {count}", f"{count} * sizeof(real)")
            for array, count in zip(self.past, counts, strict=True)
        ]

    def lines(self, main: Blocks, at: str, first: str, end: str, start: str, depth: int) -> list[str]:
        """The steps from `first` to before `end`, beyond `start`. What is kept of these begins at step `at`."""
        blocks = self._blocks
        absent = blocks.absent(self.tensors, 2)
        placed = [line for tensor in self.tensors for line in blocks.place(tensor, 1)]
        stored = [line for tensor in self.tensors for line in blocks.store(tensor, 1)]
        given = ["&wide", "rows"]
        for array in self.past:
            place = f"({self._name(array)} + {at} * BLOCK_ROWS * {self.printer.row_count(array)})"
            given.append(f"(const {self.printer.pointer(array)}){place if at != '0' else self._name(array)}")
        given += [*given_params(main.driver, self._w), *blocks.given(self.tensors)]
        before = [*self._opening(first, end), *self._each(first, start, absent, placed)]
        call = blocks.driver.call("step", given, depth, self.name)
        after = self._each(first, start, [], stored)
        return [*(f"{INDENT * depth}{line}" for line in before), call, *(f"{INDENT * depth}{line}" for line in after)]


def read_by(step: StepPrinter, tensors: list[Tensor]) -> list[Tensor]:
    """The timed tensors that a step has to do with itself."""
    known = {array.name for array in step.kernel.arrays}
    return [tensor for tensor in tensors if known.issuperset(tensor.port.parts)]


def ahead_of(step: StepPrinter, names: Names, tensors: list[Tensor], params: list[Tensor]) -> list[Ahead]:
    kernel = step.kernel.ahead
    return [] if kernel is None else [Ahead(kernel, "ahead", step, names, tensors, params)]


def behind_of(step: StepPrinter, names: Names, tensors: list[Tensor], params: list[Tensor]) -> list[Behind]:
    kernel = step.kernel.behind
    return [] if kernel is None else [Behind(kernel, "behind", step, names, tensors, params)]


def shared_by(stretches: Sequence[Stretch]) -> list[Tensor]:
    """The timed tensors that stretches have to do with."""
    return list(dict.fromkeys(tensor for item in stretches for tensor in item.tensors))


def pointed(blocks: Blocks, stretches: Sequence[Stretch], written: bool) -> list[str]:
    """Pointers to all rows of the tensors of stretches: threads that share a block share a stretch's steps as well."""
    tensors = shared_by(stretches)
    if not tensors:
        return []
    lines = [blocks.point(tensor, "block.begin[row]", written) for tensor in tensors]
    return [f"{INDENT * 2}for (int row = 0; row < BLOCK_ROWS; row++) {{", *lines, f"{INDENT * 2}}}"]
