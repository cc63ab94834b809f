"""Rows walked side by side, one in each lane of a vector, where a recurrence has no axis to make vectors of.

A recurrence of scalars gets one more axis, inside of all others: lanes (and sequences that are equally long) are
independent of each other, so that nothing crosses it. A short axis of known size stays where it is, outside of it."""

from __future__ import annotations

from math import prod

from recc.ir.kernel import LANES
from recc.ir.nodes import Axis, Binary, Const, Expr, Fixpoint, Recurrence, Solve, Unary
from recc.ir.traverse import names, nodes
from recc.passes.lower_kernel_rows import constants, with_axis
from recc.passes.lower_kernel_tasks import prepare
from recc.passes.lower_passes import FEW, declared_ranks
from recc.passes.tidy import expressions, roots

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
    both = (primal, adjoint)
    if any(isinstance(node, (Fixpoint, Solve)) for of in both for expr in expressions(of) for node in nodes(expr)):
        return False
    return not any(map(_calls, both))


def _calls(recurrence: Recurrence) -> bool:
    """Whether a step calls a function of the C library, beside what is computed of params before all steps."""
    flat = prepare(recurrence, declared_ranks(recurrence)).flat
    fixed = constants(flat)
    exprs = (*(let.expr for let in flat.lets if let.name not in fixed), *roots(flat))
    return any(_is_called(node) for expr in exprs for node in nodes(expr))


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
    wide = {var.name for var in recurrence.variables}
    for let in recurrence.lets:
        wide |= {let.name} if names(let.expr) & wide else set()
    return with_axis(recurrence, LANE_AXIS, wide, last=True)
