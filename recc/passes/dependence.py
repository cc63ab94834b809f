"""`Dependence`: which elements of the carried states a value of any kind can depend on; the Jacobian's pattern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recc.ir.nodes import (
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
from recc.passes.axes import AxisClass, axis_classes
from recc.passes.flow import EXOGENOUS, Factor, Flow, Path, bound, differing, moved, placed, plus
from recc.passes.positions import at_position

LINEAR = ("neg", "real", "imag", "conj")


@dataclass(frozen=True)
class Jacobian:
    """How the update of a component acts along the axes of its states, to first order and beyond.

    `axes` as for a linear transition: along a "scaled" axis no element depends on another position. `near` names the
    sizes of axes that are crossed by neighbourhoods alone."""

    axes: dict[str, tuple[AxisClass, ...]]
    sizes: dict[str, tuple[str, ...]]
    near: tuple[str, ...]

    @property
    def elementwise(self) -> bool:
        return not any("mixed" in classes for classes in self.axes.values())

    @property
    def pattern(self) -> str:
        """ "diagonal", "blocks", "banded" or "dense"."""
        if self.elementwise:
            return "diagonal" if len(self.axes) == 1 else "blocks"
        return "banded" if self.mixed and set(self.mixed) <= set(self.near) else "dense"

    @property
    def cost(self) -> str:
        """The kind of matrix that one iteration of Newton's method scans with."""
        match self.pattern:
            case "diagonal":
                return "diagonal Jacobian"
            case "blocks":
                return f"Jacobian of {len(self.axes)}x{len(self.axes)} blocks"
            case _:
                return f"dense Jacobian over {', '.join(self.mixed)}"

    @property
    def mixed(self) -> tuple[str, ...]:
        return self._listed("mixed")

    @property
    def apart(self) -> tuple[str, ...]:
        """Axes whose positions do not depend on each other."""
        return self._listed("scaled", "batched")

    def _listed(self, *wanted: AxisClass) -> tuple[str, ...]:
        found = (
            size
            for name, classes in self.axes.items()
            for size, kind in zip(self.sizes[name], classes, strict=True)
            if kind in wanted
        )
        return tuple(dict.fromkeys(found))

    @property
    def text(self) -> str:
        """For example "elementwise over D: diagonal Jacobian"."""
        count = len(self.axes)
        if self.elementwise:
            where = f"elementwise over {', '.join(self.apart)}" if self.apart else "one number each"
            return f"{where}: {'diagonal Jacobian' if count == 1 else f'{count}x{count} Jacobian blocks'}"
        states = f" and {count} states" if count > 1 else ""
        apart = f" for every {', '.join(self.apart)}" if self.apart else ""
        banded = f", banded along {', '.join(self.near)}" if self.near else ""
        return f"dense Jacobian over {', '.join(self.mixed)}{states}{apart}{banded}"


def jacobian_of(recurrence: Recurrence, states: tuple[str, ...]) -> Jacobian:
    """The pattern of a component's Jacobian; every element that it leaves out is zero for all values."""
    exact = _classes(recurrence, states, neighbours=True)
    loose = _classes(recurrence, states, neighbours=False)
    variables = {state.name: state.var for state in recurrence.states}
    sizes = {name: tuple(str(size) for size in variables[name].sizes) for name in states}
    near = (
        sizes[name][place]
        for name in states
        for place, found in enumerate(exact[name])
        if found == "mixed" and loose[name][place] != "mixed"
    )
    return Jacobian(exact, sizes, tuple(dict.fromkeys(near)))


def _classes(recurrence: Recurrence, states: tuple[str, ...], neighbours: bool) -> dict[str, tuple[AxisClass, ...]]:
    found = Dependence(recurrence, states, neighbours)
    variables = {state.name: state.var for state in recurrence.states if state.name in states}
    return axis_classes(
        {name: variables[name] for name in states}, {name: found.of(recurrence.update_of(name)) for name in states}
    )


class Dependence:
    """The flows of a recurrence's definitions, whatever their operations do to the values.

    Without `neighbours` a neighbourhood counts as its own position: what is not crossed then is only crossed nearby."""

    def __init__(self, recurrence: Recurrence, carried: Iterable[str], neighbours: bool = True) -> None:
        self._neighbours = neighbours
        self._carried = frozenset(carried)
        self._lets: dict[str, Let] = {let.name: let for let in recurrence.lets}
        self._axes = {let.name: let.axes for let in recurrence.lets}
        self._axes |= {state.name: state.var.axes for state in recurrence.states if state.name in self._carried}
        self._flows: dict[str, Flow] = {}
        for let in recurrence.lets:
            self._flows[let.name] = self.of(let.expr)

    def of(self, expr: Expr) -> Flow:
        match expr:
            case Ref():
                return self._ref(expr)
            case Where(test, _, y):
                sides = plus(self.of(at_position(expr, self._axes)), self.of(y))
                return _along(plus(self.of(test), sides), test)
            case Unary(op, x):
                flow = self.of(x)
                return flow if op in LINEAR else _along(flow, x)
            case Binary(op, x, y):
                flow = plus(self.of(x), self.of(y))
                return flow if op in ("add", "sub") else _along(_along(flow, x), y)
            case Reduce(op, x, over):
                flow = self.of(x)
                return bound(flow if op == "sum" else _along(flow, x), set(over))
            case Roll(x, axis):
                return self._moved(self.of(x), axis)
            case Window(x, axis, tap):
                return self._moved(differing(self.of(x), {axis, tap}), axis)
            case Fold(x, axis, tap):
                return bound(self._moved(differing(self.of(x), {axis}), axis), {tap})
            case Solve(matrix, rhs, row, col):
                both = plus(moved(self.of(matrix), {col}), self.of(rhs))
                return bound(_along(_along(both, matrix), rhs), {row})
            case Fixpoint():
                return self._fixpoint(expr)
            case _:
                return EXOGENOUS

    def _ref(self, ref: Ref) -> Flow:
        if ref.name in self._carried:
            return {Path(ref.name, tuple(i if isinstance(i, Axis) else None for i in ref.index)): Factor()}
        if ref.name not in self._lets:
            return EXOGENOUS
        return placed(self._flows[ref.name], dict(zip(self._lets[ref.name].axes, ref.index, strict=True)))

    def _fixpoint(self, expr: Fixpoint) -> Flow:
        """Every place of a solution depends on every place of what it is computed from."""
        reached: Flow = self.of(expr.start)
        for let in expr.given:
            reached = plus(reached, self.of(let.expr))
        coefficient = Factor(frozenset(expr.index), names(expr), False)
        return {Path(path.source, (None,) * len(path.index)): coefficient for path in reached}

    def _moved(self, flow: Flow, axis: Axis) -> Flow:
        return moved(flow, {axis}) if self._neighbours else flow


def _along(flow: Flow, factor: Expr) -> Flow:
    """The flow with a coefficient that is some function of `factor`."""
    known = Factor(frozenset(factor.axes), names(factor))
    return {path: old | known for path, old in flow.items()}
