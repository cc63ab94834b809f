"""Guards: an operation that is needed under a condition alone gets harmless operands where the condition fails.

`r = log(x); y = where(x > 0, r, 0)` becomes `r = log(where(x > 0, x, 1)); y = where(x > 0, r, 0)`. No value that is
used changes. What differentiates the emitted text once more (automatic differentiation does, for second derivatives)
then finds no infinite slope on the side that was not taken, which times zero would be NaN."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recc.ir.build import ONE, ZERO, unary, where
from recc.ir.logic import FALSE, anywhere, conjunction, disjunction, opened, unless_true
from recc.ir.nodes import (
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Unary,
    Where,
    Window,
    formal,
)
from recc.ir.traverse import bound_axes, children, names, rebuild
from recc.passes.adjoint import moved_mask, summed_axes
from recc.passes.implicit import solved_where
from recc.passes.places import placed
from recc.passes.tidy import flatten, tidy

# Where each operation has finite slopes, for the operands that can take it elsewhere.
HARMLESS: dict[str, dict[int, Const]] = {
    "log": {0: ONE},
    "sqrt": {0: ONE},
    "log1p": {0: ZERO},
    "exp": {0: ZERO},
    "expm1": {0: ZERO},
    "tan": {0: ZERO},
    "sinh": {0: ZERO},
    "cosh": {0: ZERO},
    "div": {1: ONE},
    "pow": {0: ONE},
    "logaddexp": {0: ZERO, 1: ZERO},
    "logsumexp": {0: ZERO},
}


def guard(recurrence: Recurrence) -> Recurrence:
    """The recurrence with guards; the same object if it needs none."""
    flat = flatten(recurrence)
    masks = _Demand(flat).masks
    lets = {let.name: let for let in flat.lets}
    changed = False
    for let in flat.lets:
        mask = masks.get(let.name)
        if isinstance(let.expr, Fixpoint) and mask is not None and let.name not in _reach(names(mask), lets):
            lets[let.name] = replace(let, expr=solved_where(let.expr, mask))
            changed = True
        safe = HARMLESS.get(let.expr.op, {}) if isinstance(let.expr, (Unary, Binary, Reduce)) else {}
        if mask is None or not safe or let.name in _reach(names(mask), lets):
            continue
        parts = (_guarded(part, mask, safe.get(place)) for place, part in enumerate(children(let.expr)))
        expr = rebuild(let.expr, tuple(parts))
        changed = changed or expr is not let.expr
        lets[let.name] = replace(let, expr=expr)
    return tidy(replace(flat, lets=tuple(_ordered(lets)))) if changed else recurrence


def _guarded(part: Expr, mask: Expr, safe: Const | None) -> Expr:
    return part if safe is None or isinstance(part, Const) else where(mask, part, safe)


def _reach(start: frozenset[str], lets: dict[str, Let]) -> set[str]:
    """The definitions that some names need, and what these need in turn."""
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name in lets and name not in found:
            found.add(name)
            waiting += names(lets[name].expr)
    return found


def _ordered(lets: dict[str, Let]) -> Iterator[Let]:
    """Each definition after those that it reads, otherwise in the given order."""
    done: set[str] = set()
    for first in lets:
        stack = [first]
        while stack:
            name = stack[-1]
            missing = [other for other in lets if other in names(lets[name].expr) and other not in done]
            if missing and name not in done:
                stack += reversed(missing)
                continue
            stack.pop()
            if name not in done:
                done.add(name)
                yield lets[name]


class _Demand:
    """For each definition the condition, over its own axes, under which anything needs it; None if always."""

    def __init__(self, flat: Recurrence):
        self.masks: dict[str, Expr | None] = {}
        self._axes = {let.name: let.axes for let in flat.lets}
        self._sizes = dict(flat.sizes)
        self._conditions = {let.name: let for let in flat.lets if let.kind == "bool"}
        self._axes |= {var.name: formal(var.sizes) for var in flat.variables}
        results = [*flat.updates, *(item.expr for item in (*flat.outputs, *flat.totals))]
        for name in set().union(*(names(result) for result in results)):
            self.masks[name] = None
        for let in reversed(flat.lets):
            if let.name in self.masks:
                self._pass_on(let, self.masks[let.name])

    def _pass_on(self, let: Let, mask: Expr | None) -> None:
        expr = let.expr
        if isinstance(expr, Where):
            self._need(expr.test, mask, let.axes)
            chosen = opened(expr.test, self._conditions)
            self._need(expr.x, conjunction(mask, chosen), let.axes)
            self._need(expr.y, conjunction(mask, unary("not", chosen)), let.axes)
            return
        if isinstance(expr, Fixpoint):
            whole = anywhere(mask, mask.axes, self._sizes) if mask is not None else None
            for part in children(expr):
                self._need(part, whole, ())
            return
        simple = isinstance(expr, (Unary, Binary, Reduce, Roll, Window, Fold, Ref))
        inner = moved_mask(mask, expr) if mask is not None and simple else None
        kept = tuple(axis for axis in let.axes if axis not in summed_axes(expr, 0))
        scope = kept + tuple(axis for axis in bound_axes(expr) if axis not in kept)
        for part in children(expr) or (expr,):
            self._need(part, inner, scope)

    def _need(self, leaf: Expr, mask: Expr | None, scope: tuple[Axis, ...]) -> None:
        if not isinstance(leaf, Ref):
            return
        if mask is not None:
            over = tuple(axis for axis in scope if axis not in leaf.axes)
            mask = unless_true(placed(leaf, self._axes[leaf.name], anywhere(mask, over, self._sizes), FALSE))
        if leaf.name in self.masks:
            mask = disjunction(self.masks[leaf.name], mask)
        self.masks[leaf.name] = mask
