"""Matrices of params that products read row by row, turned once where there are many steps.

Sums over a matrix's rows are taken in the lanes of a vector, which are added up at last; sums over its columns need no
such end, and take a fifth less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from recc.backends.cpu.drive import Tensor
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import StepPrinter
from recc.ir.kernel import Array, Kernel, Product, Statement


class Turned:
    """The copies that a library function makes of the matrices of its kernel, and of those of the `replay` unless
    there is a `past`."""

    def __init__(self, step: StepPrinter, params: list[Tensor], replay: Kernel | None = None, past: str = ""):
        self._step, self._past = step, past
        own = dict.fromkeys(_turned(step.kernel))
        found = own | dict.fromkeys([] if replay is None else _turned(replay))
        whole = {part: tensor for tensor in params if not tensor.port.complex for part in tensor.port.parts}
        self._arrays = [(array, whole[array.name].name) for array in found if array.name in whole]
        self._own = sum(array in own for array, _ in self._arrays)

    def _count(self, array: Array) -> str:
        return " * ".join(map(self._step.size, array.sizes))

    @property
    def held(self) -> dict[str, tuple[str, str]]:
        """The memory of all copies, if there will be any."""
        if not self._arrays:
            return {}
        counts = " + ".join(self._count(array) for array, _ in self._arrays)
        return {"turned": ("real", f"shape[STEPS] < TURNED_STEPS ? 1 : sizeof(real) * ({counts})")}

    def lines(self) -> list[str]:
        """Where a block's params are known, and its memory has been cleared."""
        if not self._arrays:
            return []
        lines, place = [f"{INDENT * 2}const struct turned copies[] = {{"], "turned"
        for array, pointer in self._arrays:
            *shared, rows, columns = map(self._step.size, array.sizes)
            lines.append(f"{INDENT * 3}{{{pointer}, {place}, {' * '.join(shared) or 1}, {rows}, {columns}}},")
            place += f" + {self._count(array)}"
        every = len(self._arrays)
        count = every if self._own == every else f"{self._past} ? {self._own} : {every}"
        turn = f"if (block.longest >= TURNED_STEPS) turn(&opened, copies, {count});"
        return [*lines, f"{INDENT * 2}}};", f"{INDENT * 2}{turn}"]


def _turned(kernel: Kernel) -> Iterator[Array]:
    """The params that a kernel, or what is done ahead of it or behind it, multiplies by their rows."""
    for own in (kernel, kernel.ahead, kernel.behind):
        if own is not None:
            arrays = {array.name: array for array in own.arrays if array.storage == "param"}
            for product in _products(own.step):
                if product.turned and product.matrix in arrays:
                    yield arrays[product.matrix]


def _products(body: Iterable[Statement]) -> Iterator[Product]:
    for line in body:
        if isinstance(line, Product):
            yield line
        else:
            yield from _products(getattr(line, "body", ()))
