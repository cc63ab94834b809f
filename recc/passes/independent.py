"""Axes along which a recurrence is many independent ones: it can be cut there, and the pieces run side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from recc.ir.nodes import Arange, Expr, Fixpoint, Fold, Recurrence, Reduce, Ref, Roll, Size, SizeOf, Solve, Var, Window
from recc.ir.traverse import nodes
from recc.passes.tidy import expressions, flatten


def independent_sizes(recurrence: Recurrence) -> tuple[str, ...]:
    """The symbolic sizes of axes that every variable has at most once and that nothing crosses.

    Nothing sums, solves or shifts along such an axis, picks a position of it, asks where it is or repeats a step until
    all of it has settled, so that a piece of an output depends on the same piece of inputs, params and states alone. A
    variable without the axis is the same for all pieces."""
    flat = flatten(recurrence)
    given = [*flat.variables, *(item.var for item in (*flat.outputs, *flat.totals))]
    crossed = {size for var in given for size in var.sizes if var.sizes.count(size) > 1}
    shapes = {var.name: tuple(var.sizes) for var in flat.variables}  # an output may be called as an input is
    for let in flat.lets:
        shapes[let.name] = tuple(axis.size for axis in let.axes)
        crossed |= {size for size in shapes[let.name] if shapes[let.name].count(size) > 1}
    for expr in expressions(flat):
        crossed |= {size for node in nodes(expr) for size in _crossed(node, shapes)}
    found = dict.fromkeys(size for state in flat.states for size in state.var.sizes if isinstance(size, str))
    return tuple(size for size in found if size not in crossed and size not in dict(flat.sizes))


def divisible_size(recurrence: Recurrence, ranks: Mapping[Size, int]) -> str | None:
    """The innermost axis to cut sequences along: where there is time, it stands before all other symbolic sizes, so
    that little or nothing has to be copied."""
    timed = [*recurrence.inputs, *(out.var for out in recurrence.outputs)]
    sizes = [size for size in independent_sizes(recurrence) if all(_stands_first(size, var) for var in timed)]
    return max(sizes, key=lambda size: ranks.get(size, 0), default=None)


def _stands_first(size: str, var: Var) -> bool:
    return size not in var.sizes or not any(isinstance(other, str) for other in var.sizes[: var.sizes.index(size)])


def _crossed(node: Expr, shapes: Mapping[str, tuple[Size, ...]]) -> Iterator[Size]:
    """The sizes of axes that an operation crosses."""
    match node:
        case SizeOf(size):
            yield size
        case Arange(axis) | Roll(_, axis):
            yield axis.size
        case Reduce(_, _, over):
            yield from (axis.size for axis in over)
        case Window(_, axis, tap) | Fold(_, axis, tap):
            yield from (axis.size, tap.size)
        case Solve(_, _, row, col):
            yield from (row.size, col.size)
        case Fixpoint(unknown, _, given, lets):
            yield from unknown.sizes  # all of it ends at once; what is inside beside it is summed there
            yield from (axis.size for let in (*given, *lets) for axis in let.axes)
        case Ref(name, index):
            yield from (size for size, at in zip(shapes[name], index, strict=True) if isinstance(at, int))
        case _:
            pass
