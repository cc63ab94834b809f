"""What a row tells of its fixed points that were not reached: the largest last change of each, or zero."""

from __future__ import annotations

from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.ir.kernel import Kernel


def begin_row(kernel: Kernel, names: Names) -> list[str]:
    """Nothing was missed yet."""
    return [f"{INDENT * 2}m->{names(item.array)} = 0;" for item in kernel.missed]


def end_row(kernel: Kernel, names: Names, place: int) -> list[str]:
    """A row's changes, one after the other, in the tensor at a `place` of a call."""
    if not kernel.missed:
        return []
    lines = [f"{INDENT * 2}real *const missed = (real *)data[{place}] + row * {len(kernel.missed)};"]
    return lines + [
        f"{INDENT * 2}missed[{number}] = m->{names(item.array)};" for number, item in enumerate(kernel.missed)
    ]
