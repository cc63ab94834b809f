"""`Degree`: is a value affine in the carried states, in a stated algebra, and which way did they reach it?

An abstract interpretation, atoms stating facts and one rule for each operation composing them. An accepted value is a
`Flow`: the paths on which carried states reach it, each with the axes along which its coefficient differs. An
exogenous value has no paths. Everything that is not provably affine is refused, at the smallest expression that fails
while its parts pass; nothing is cancelled, so `x*x/x` is refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from recc.diagnostics import NOWHERE, Span
from recc.ir.build import is_const
from recc.ir.nodes import (
    COMPARISONS,
    Axis,
    Binary,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.ir.traverse import names
from recc.passes.flow import EXOGENOUS, Factor, Flow, Path, bound, differing, moved, placed, plus, scaled, union
from recc.passes.positions import at_position
from recc.structures.algebra import REAL, Algebra

SYMBOLS = {
    "add": "sum", "sub": "difference", "mul": "product", "pow": "power", "div": "quotient", "max": "maximum",
    "min": "minimum", "lt": "`<`", "le": "`<=`", "gt": "`>`", "ge": "`>=`", "eq": "`==`", "ne": "`!=`",
    "mod": "`%`", "floordiv": "`//`", "neg": "negative",
}  # fmt: skip


class Refused(Exception):
    """A value that is not affine: the smallest culprit and why."""

    def __init__(self, culprit: Expr, reason: str) -> None:
        super().__init__(reason)
        self.culprit = culprit
        self.reason = reason

    def point_to(self, span: Span) -> None:
        """Give the culprit a place in the text, if it has none of its own: that of what it stands in."""
        if self.culprit.span is NOWHERE:
            self.culprit = replace(self.culprit, span=span)


def time_varying(recurrence: Recurrence) -> frozenset[str]:
    """The names whose value may differ from step to step: inputs, states, and what depends on them."""
    varying = {var.name for var in recurrence.inputs} | set(recurrence.state_names)
    for let in recurrence.lets:
        if names(let.expr) & varying:
            varying.add(let.name)
    return frozenset(varying)


class Degree:
    """The flows of a recurrence's definitions and updates, in one algebra, for one component's carried states.

    `accepted` counts the sums and products of carried values that passed: how far the algebra got."""

    def __init__(self, recurrence: Recurrence, carried: Iterable[str], algebra: Algebra = REAL) -> None:
        self.algebra = algebra
        self.carried = {state.name: state.var for state in recurrence.states if state.name in set(carried)}
        self.accepted = 0
        self._flows: dict[str, Flow | Refused] = {}
        self._lets = {let.name: let for let in recurrence.lets}
        self._axes = {let.name: let.axes for let in recurrence.lets}
        self._axes |= {name: var.axes for name, var in self.carried.items()}
        for let in recurrence.lets:
            self._flows[let.name] = self._settled(let)

    def _settled(self, let: Let) -> Flow | Refused:
        try:
            return self.of(let.expr)
        except Refused as refused:
            refused.point_to(let.span)
            return refused

    def of(self, expr: Expr) -> Flow:
        """The flow into an expression over definitions, states and exogenous names. Raises `Refused`."""
        try:
            return self._combined(expr)
        except Refused as refused:
            refused.point_to(expr.span)
            raise

    def _combined(self, expr: Expr) -> Flow:
        match expr:
            case Ref():
                return self._ref(expr)
            case Where(test, _, y):
                self.of(test)
                return self._choice(test, self.of(at_position(expr, self._axes)), self.of(y))
            case Unary():
                return self._unary(expr)
            case Binary():
                return self._binary(expr)
            case Reduce():
                return self._reduce(expr)
            case Roll(x, axis):
                return moved(self.of(x), {axis})
            case Window(x, axis, tap):
                return moved(differing(self._neighbours(expr, self.of(x)), {axis, tap}), {axis})
            case Fold(x, axis, tap):
                flow = moved(differing(self._neighbours(expr, self.of(x)), {axis}), {axis})
                return bound(flow, {tap})
            case Solve():
                return self._solve(expr)
            case Fixpoint():
                return self._fixpoint(expr)
            case _:
                return EXOGENOUS

    def _ref(self, ref: Ref) -> Flow:
        if ref.name in self.carried:
            return {Path(ref.name, tuple(i if isinstance(i, Axis) else None for i in ref.index)): Factor()}
        if ref.name not in self._lets:
            return EXOGENOUS
        flow = self._flows[ref.name]
        if isinstance(flow, Refused):
            raise flow
        places = dict(zip(self._lets[ref.name].axes, ref.index, strict=True))
        return placed(flow, places)

    def _choice(self, test: Expr, first: Flow, second: Flow) -> Flow:
        """Paths whose coefficient is one on both sides are one whatever the condition says."""
        both = first.keys() & second.keys()
        one = Factor(frozenset(test.axes))
        same = {path: one for path in both if first[path].unit and second[path].unit and None not in path.index}
        return {**self._times(plus(first, second), test), **same}

    def _unary(self, expr: Unary) -> Flow:
        flow = self.of(expr.x)
        if not flow:
            return EXOGENOUS
        op = expr.op
        if self.algebra is REAL:
            if op == "neg":
                return scaled(flow)
            if op in ("real", "imag", "conj"):
                return self._part(expr, flow)
        if op == self.algebra.plus_one:
            return flow
        raise Refused(expr, f"{_called(op)} of a value that depends on {self._previous(flow)}{self._not_linear()}")

    def _part(self, expr: Unary, flow: Flow) -> Flow:
        """Parts of a complex value are linear over the reals: right for real states, wrong for complex ones."""
        complex_sources = {path: factor for path, factor in flow.items() if self.carried[path.source].complex}
        if complex_sources:
            reason = f"`{expr.op}` of a complex value that depends on {self._previous(complex_sources)}"
            raise Refused(expr, f"{reason} is not complex-linear")
        return scaled(flow)

    def _binary(self, expr: Binary) -> Flow:
        first, second = self.of(expr.x), self.of(expr.y)
        if not first and not second:
            return EXOGENOUS
        op, algebra = expr.op, self.algebra
        self.accepted += 1
        if op == algebra.plus:
            return plus(first, second)
        if op == "sub" and algebra is REAL:
            return plus(first, scaled(second))
        if op == algebra.times and not (first and second):
            return self._times(first or second, expr.y if first else expr.x)
        if op == algebra.over and not second:
            return self._times(first, expr.y)
        if op in ("mul", "div", "pow") and first and is_const(expr.y, 1):
            return first
        if op == "mul" and second and is_const(expr.x, 1):
            return second
        self.accepted -= 1
        raise Refused(expr, self._why(expr, first, second))

    def _why(self, expr: Binary, first: Flow, second: Flow) -> str:
        name = _called(expr.op)
        if expr.op == "div" and second and self.algebra is REAL:
            return f"division by a value that depends on {self._previous(second)}"
        if first and second and expr.op not in COMPARISONS:
            return f"{name} of two values that depend on {self._previous({**first, **second})}{self._not_linear()}"
        return f"{name} of a value that depends on {self._previous({**first, **second})}{self._not_linear()}"

    def _not_linear(self) -> str:
        return "" if self.algebra is REAL else f", which is not linear in {self.algebra.name}"

    def _reduce(self, expr: Reduce) -> Flow:
        flow = self.of(expr.x)
        if flow and expr.op != self.algebra.reduce:
            raise Refused(expr, f"`{expr.op}` over values that depend on {self._previous(flow)}{self._not_linear()}")
        self.accepted += bool(flow)
        return bound(flow, set(expr.over))

    def _neighbours(self, expr: Expr, flow: Flow) -> Flow:
        """Neighbourhoods belong to (+,x): outside of the border is zero. (Around the end, there is no border.)"""
        if flow and self.algebra is not REAL:
            raise Refused(expr, f"neighbours of a value that depends on {self._previous(flow)}{self._not_linear()}")
        return flow

    def _solve(self, expr: Solve) -> Flow:
        matrix, flow = self.of(expr.matrix), self.of(expr.rhs)
        if matrix:
            raise Refused(expr, f"`solve` with a matrix that depends on {self._previous(matrix)}")
        if flow and self.algebra is not REAL:
            raise Refused(expr, f"`solve` for a value that depends on {self._previous(flow)}{self._not_linear()}")
        along = frozenset(expr.matrix.axes) - {expr.row} | {expr.col}
        return bound({p: f | Factor(along, names(expr.matrix)) for p, f in flow.items()}, {expr.row})

    def _fixpoint(self, expr: Fixpoint) -> Flow:
        """A solution is affine where its equation is, but it is found by repetition, which a summary has no form of."""
        flow = plus(self.of(expr.start), union(item for let in expr.given for item in self.of(let.expr).items()))
        if flow:
            raise Refused(expr, f"a fixed point, found by repetition, that depends on {self._previous(flow)}")
        return EXOGENOUS

    def _times(self, flow: Flow, factor: Expr) -> Flow:
        """The flow with one more exogenous factor, or choice, on all its paths."""
        known = Factor(frozenset(factor.axes), names(factor))
        return {path: old | known for path, old in flow.items()}

    def _previous(self, flow: Flow) -> str:
        present = {path.source for path in flow}
        *rest, last = (f"`{name}`" for name in self.carried if name in present)
        return f"the previous {', '.join(rest)} and {last}" if rest else f"the previous {last}"


def _called(op: str) -> str:
    return SYMBOLS.get(op, f"`{op}`")
