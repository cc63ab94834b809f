"""Rows walked side by side, one in each lane of a vector, where a recurrence has no axis to make vectors of.

A recurrence of scalars gets one more axis, inside of all others: lanes (and sequences that are equally long) are
independent of each other, so that nothing crosses it. A short axis of known size stays where it is, outside of it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from recc.ir.kernel import LANES
from recc.ir.nodes import Axis, Binary, Const, Expr, Fixpoint, Output, Recurrence, Ref, Size, Solve, Unary, Var
from recc.ir.traverse import map_exprs, names, nodes, rewrite
from recc.passes.lower_kernel_rows import constants
from recc.passes.lower_kernel_tasks import prepare
from recc.passes.lower_passes import FEW

LANE_AXIS = Axis(LANES)
MOST = 16  # numbers of a variable: those of a group of rows have to stay in a core's nearest cache
LARGEST_POWER = 4  # up to which powers are products
CALLED = frozenset("sin cos tan sinh cosh atan erf ctz atan2 mod floordiv".split())


def walks_lanes(primal: Recurrence, adjoint: Recurrence) -> bool:
    """Whether rows are better walked side by side: no variable has an axis of many positions, none is solved for, and
    no step calls a function of the C library, which takes one number at a time."""
    known = dict(primal.sizes)
    for var in (*primal.variables, *(item.var for item in primal.outputs)):
        counts = [size if isinstance(size, int) else known.get(size, FEW + 1) for size in var.sizes]
        if max(counts, default=1) > FEW or prod(counts) > MOST:
            return False
    exprs = [expr for of in (primal, adjoint) for expr in (*(let.expr for let in of.lets), *_results(of))]
    if any(isinstance(node, (Fixpoint, Solve)) for expr in exprs for node in nodes(expr)):
        return False
    return not any(_calls(of) for of in (primal, adjoint))


def _results(recurrence: Recurrence) -> tuple[Expr, ...]:
    return (*recurrence.updates, *(item.expr for item in (*recurrence.outputs, *recurrence.totals)))


def _calls(recurrence: Recurrence) -> bool:
    """Whether a step calls a function of the C library, beside what is computed of params before all steps."""
    flat = prepare(recurrence, _ranks(recurrence)).flat
    fixed = constants(flat)
    exprs = (*(let.expr for let in flat.lets if let.name not in fixed), *_results(flat))
    return any(_is_called(node) for expr in exprs for node in nodes(expr))


def _ranks(recurrence: Recurrence) -> dict[Size, int]:
    sizes = dict.fromkeys(size for var in recurrence.variables for size in var.sizes)
    return {size: place for place, size in enumerate(sizes)}


def _is_called(node: Expr) -> bool:
    match node:
        case Binary("pow", _, Const(power)):
            return power not in range(2, LARGEST_POWER + 1)
        case Unary(op) | Binary(op):
            return op in CALLED or op == "pow"
        case _:
            return False


def with_lanes(recurrence: Recurrence) -> Recurrence:
    """A recurrence whose variables, and all that depends on them, have one more axis, the last."""
    widened = {var.name for var in recurrence.variables}
    for let in recurrence.lets:
        widened |= {let.name} if names(let.expr) & widened else set()

    def rule(node: Expr) -> Expr:
        if isinstance(node, Ref) and node.name in widened:
            return replace(node, index=(*node.index, LANE_AXIS))
        return node

    def wide(var: Var) -> Var:
        return replace(var, sizes=(*var.sizes, LANES))

    def each(items: tuple[Output, ...]) -> tuple[Output, ...]:
        return tuple(replace(item, var=wide(item.var)) for item in items)

    moved = map_exprs(recurrence, lambda expr: rewrite(expr, rule))
    lets = (replace(let, axes=(*let.axes, LANE_AXIS)) if let.name in widened else let for let in moved.lets)
    return replace(
        moved,
        inputs=tuple(map(wide, moved.inputs)),
        params=tuple(map(wide, moved.params)),
        states=tuple(replace(state, var=wide(state.var)) for state in moved.states),
        lets=tuple(lets),
        outputs=each(moved.outputs),
        totals=each(moved.totals),
    )
