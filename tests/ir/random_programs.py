"""Random well-typed recurrences, and values for them: the material of every differential test.

Programs are built directly in the IR. They mix transitions that can be parallelised (scalar, diagonal, mixing, low
rank, resets, cascades, coupled states, other algebras) with ones that cannot, and with ones that only look as if.
Values stay finite over some tens of steps: what enters a state is damped."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from recc.ir.interpreter import evaluate
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fold,
    Interval,
    Output,
    Recurrence,
    Reduce,
    Roll,
    Size,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
    formal,
)
from recc.ir.traverse import canonical, fresh_axis, substitute
from tests.ir.random_expressions import NOT_POSITIVE, ONE, OPEN_UNIT, ZERO, Expressions, add, mul

SIZES: dict[str, int] = {"K": 3, "V": 2, "D": 3, "R": 3}
SHAPES: tuple[tuple[Size, ...], ...] = ((), (), ("K",), ("V",), ("D",), ("K", "V"), ("D", "D"), (2, "K"), ("V", "D"))

Values = dict[str, NDArray[np.generic]]


def random_recurrence(
    rng: np.random.Generator, *, affine_bias: float = 0.5, complex: bool = False, structured: bool = True
) -> Recurrence:
    """A recurrence of one to three states; each update is of an affine kind with probability `affine_bias`.

    With `complex`, some of its names are complex. `structured` allows rolls, neighbourhoods and solves."""
    return _Builder(rng, affine_bias, complex, structured).build()


class _Builder(Expressions):
    def __init__(self, rng: np.random.Generator, affine_bias: float, complex_values: bool, structured: bool):
        super().__init__(rng, complex_values)
        self.affine_bias = affine_bias
        self.structured = structured
        self.states: list[Var] = []
        self.current: dict[str, Expr] = {}

    def build(self) -> Recurrence:
        for number in range(int(self.rng.integers(1, 4))):
            self.inputs.append(Var(f"x{number}", self.pick(SHAPES), self.complex_values and self.chance(0.4)))
        for number in range(int(self.rng.integers(1, 4))):
            self.states.append(Var(f"s{number}", self.pick(SHAPES), self.complex_values and self.chance(0.6)))
        for number in range(int(self.rng.integers(0, 3))):
            self.params.append(Var(f"p{number}", self.pick(SHAPES), self.complex_values and self.chance(0.4)))
        needed = dict.fromkeys(size for var in self.states for size in var.sizes if isinstance(size, str))
        missing = tuple(size for size in needed if size not in self.symbolic_sizes())
        if missing:
            self.inputs.append(Var("x_sized", missing))
        self.current = {var.name: var.ref() for var in self.states}
        starts = tuple(State(var, self.start(var)) for var in self.states)
        starts += self.memory()
        for var in self.states:
            self.update(var)
        updates = tuple(canonical(self.current[item.name]) for item in starts)
        outputs = tuple(self.output(number) for number in range(int(self.rng.integers(1, 3))))
        parts = (tuple(self.inputs), tuple(self.params), starts, tuple(self.lets), updates, outputs)
        return Recurrence("random", *parts)

    def memory(self) -> tuple[State, ...]:
        """Sometimes the step number, and what an input was a step ago; everything else may read them."""
        carried: list[State] = []
        if self.chance(0.2):
            step = Var("t")
            carried.append(State(step, ZERO))
            self.current["t"] = add(step.ref(), ONE)
            reset = Binary("eq", Binary("mod", step.ref(), Const(3)), ZERO)
            clock = self.pick((Where(reset, ONE, ZERO), Unary("ctz", step.ref()), Unary("cos", step.ref())))
            self.finished.append(self.defined("beat", clock))
        if self.chance(0.2):
            source = self.pick(self.inputs)
            before = Var(f"prev_{source.name}", source.sizes, source.complex)
            carried.append(State(before, ZERO))
            self.current[before.name] = source.ref()
            self.finished.append(before)
        return tuple(carried)

    def start(self, var: Var) -> Expr:
        params = [p for p in self.params if p.sizes == var.sizes and (var.complex or not p.complex)]
        if params and self.chance(0.5):
            return self.pick(params).ref()
        if len(var.sizes) == 1 and self.chance(0.3):
            return mul(Const(0.1), Arange(var.axes[0]))
        return self.pick((ZERO, ZERO, Const(0.5)))

    def update(self, var: Var) -> None:
        """Replace a state through one to three named stages, then let the following updates read it."""
        kinds = (self.nonlinear,) if var.complex else (self.tropical, self.fractional, self.nonlinear, self.trap)
        affine = self.chance(self.affine_bias)
        make = self.affine if affine else self.pick(kinds)
        for number in range(int(self.rng.integers(1, 4)) if affine else 1):
            expr = self.matched(make(var), var)
            self.current[var.name] = self.defined(f"{var.name}_{number + 1}", expr, var.axes).ref()
        if self.chance(0.2):
            self.current[var.name] = add(self.current[var.name], ZERO)
        self.finished.append(var if self.chance(0.5) else self.lets[-1])

    def matched(self, expr: Expr, var: Var) -> Expr:
        return Unary("real", expr) if expr.kind == "complex" and not var.complex else expr

    def affine(self, var: Var) -> Expr:
        """Affine in the state's present value; sometimes coupled with another state, sometimes without a drive."""
        expr = self.transition(var)
        others = [other for other in self.states if other.name != var.name and (var.complex or not other.complex)]
        if others and self.chance(0.3):
            expr = add(expr, self.coupled(self.pick(others), var.axes))
        if self.chance(0.85):
            expr = self.pick((add, lambda x, y: Binary("sub", x, y)))(expr, self.drive(var.axes))
        if self.chance(0.15):
            expr = Binary("div", expr, add(Const(1.5), self.gate(var.axes)))
        return expr

    def transition(self, var: Var) -> Expr:
        now = self.current[var.name]
        options: list[Callable[[], Expr]] = [
            lambda: mul(self.coefficient(()), now),
            lambda: mul(self.coefficient(var.axes), now),
            lambda: mul(now, self.coefficient(var.axes)),
            lambda: Where(self.test(var.axes), now, ZERO),
            lambda: now,
        ]
        if var.axes:
            options += 2 * [lambda: self.mixed(now, var), lambda: self.rank_one(now, var)]
        if var.axes and self.structured:
            options += [lambda: self.moved(now, var)]
        return self.pick(options)()

    def mixed(self, now: Expr, var: Var) -> Expr:
        """A matrix along one axis, given as a param or step by step."""
        axis = self.pick(var.axes)
        bound = fresh_axis(axis)
        matrix = self.declare("W", (bound, axis), Interval(Const(-0.3), Const(0.3)), self.chance(0.5))
        return Reduce("sum", mul(_at(now, axis, bound), matrix), (bound,))

    def rank_one(self, now: Expr, var: Var) -> Expr:
        """`now - beta * k (k @ now)`, or with a second vector."""
        axis = self.pick(var.axes)
        bound = fresh_axis(axis)
        small = Interval(Const(-0.6), Const(0.6))
        key = self.declare("k", (axis,), small)
        other = substitute(key, {axis: bound}) if self.chance(0.6) else self.declare("b", (bound,), small)
        read = Reduce("sum", mul(other, _at(now, axis, bound)), (bound,))
        kept = self.pick((now, mul(self.gate(var.axes), now)))
        return Binary("sub", kept, mul(self.gate(()), mul(key, read)))

    def moved(self, now: Expr, var: Var) -> Expr:
        """The state moved along an axis: rolled, spread over a neighbourhood, selected, or solved for."""
        axis = self.pick(var.axes)
        return self.pick((self._rolled, self._window, self._selected, self._solved))(now, axis)

    def _rolled(self, now: Expr, axis: Axis) -> Expr:
        return mul(self.coefficient(()), Roll(now, axis, self.pick((-1, 1, 2))))

    def _window(self, now: Expr, axis: Axis) -> Expr:
        tap = fresh_axis(Axis("R"))
        weight = self.declare("w", (tap,), Interval(Const(-0.3), Const(0.3)), True)
        if self.chance(0.5):
            return Reduce("sum", mul(weight, Window(now, axis, tap, self.chance(0.5))), (tap,))
        return Fold(mul(weight, now), axis, tap, self.chance(0.5))

    def _selected(self, now: Expr, axis: Axis) -> Expr:
        return mul(self.coefficient(now.axes), _at(now, axis, 0))

    def _solved(self, now: Expr, axis: Axis) -> Expr:
        row = fresh_axis(axis)
        weight = self.declare("A", (row, axis), Interval(Const(-0.2), Const(0.2)), True)
        same = Binary("eq", Arange(row), Arange(axis))
        return Solve(add(Where(same, Const(2), ZERO), weight), _at(now, axis, row), row, axis)

    def coupled(self, other: Var, axes: tuple[Axis, ...]) -> Expr:
        """A linear image of another state over some of the axes."""
        now = self.current[other.name]
        index, bound = [], []
        for own in other.axes:
            matching = [axis for axis in axes if axis.size == own.size and axis not in index]
            index.append(matching[0] if matching else fresh_axis(own))
            bound += [] if matching else [index[-1]]
        read: Expr = _at_all(now, other.axes, tuple(index))
        if bound:
            small = Interval(Const(-0.3), Const(0.3))
            read = Reduce("sum", mul(self.declare("u", tuple(bound), small), read), tuple(bound))
        return mul(mul(Const(0.2), self.coefficient(axes)), read)

    def tropical(self, var: Var) -> Expr:
        """Affine where addition is `max`, `min` or `logaddexp`, and multiplication is addition."""
        now = self.current[var.name]
        op = self.pick(("max", "min", "logaddexp"))
        reduction = {"logaddexp": "logsumexp"}.get(op, op)
        if var.axes and self.chance(0.5):
            axis = self.pick(var.axes)
            bound = fresh_axis(axis)
            moved = add(_at(now, axis, bound), self.declare("W", (bound, axis), NOT_POSITIVE, self.chance(0.5)))
            return add(Reduce(reduction, moved, (bound,)), Unary("tanh", self.real(var.axes, 1)))
        decay = self.declare("g", self.some(var.axes), NOT_POSITIVE)
        return Binary(op, add(now, decay), Unary("tanh", self.real(var.axes, 1)))

    def fractional(self, var: Var) -> Expr:
        """`(a h + b) / (c h + d)`; the state is replaced by its absolute value where it enters."""
        now = self.current[var.name]
        a, b, c, d = (self.declare(letter, self.some(var.axes), OPEN_UNIT) for letter in "abcd")
        if self.chance(0.5):
            return Binary("div", add(mul(a, now), b), add(mul(mul(Const(0.1), c), now), Const(3)))
        return add(mul(a, Binary("div", now, add(mul(mul(Const(0.1), c), now), add(d, Const(2))))), b)

    def nonlinear(self, var: Var) -> Expr:
        """Gates and squashes that read the state."""
        now = self.current[var.name]
        inner = self.matched(add(self.transition(var), self.drive(var.axes)), var)
        squashed = self.damped(inner)
        if var.complex or self.chance(0.4):
            return squashed
        return self.pick(
            (
                lambda: add(mul(self.gate(var.axes), now), mul(Const(0.5), squashed)),
                lambda: self._gated(now, squashed),
                lambda: Where(Binary("gt", inner, self.real(var.axes, 0)), mul(Const(0.5), now), squashed),
                lambda: mul(Const(0.8), Unary("relu", squashed)),
                lambda: self._normalised(now, var, squashed),
            )
        )()

    def _gated(self, now: Expr, new: Expr) -> Expr:
        z = Unary("sigmoid", now)
        return add(mul(z, now), mul(Binary("sub", ONE, z), new))

    def _normalised(self, now: Expr, var: Var, new: Expr) -> Expr:
        if not var.axes:
            return Binary("div", add(now, new), add(ONE, Unary("abs", now)))
        axis = self.pick(var.axes)
        bound = fresh_axis(axis)
        shares = Unary("exp", Binary("sub", now, Reduce("logsumexp", _at(now, axis, bound), (bound,))))
        return add(mul(Const(0.5), new), shares)

    def trap(self, var: Var) -> Expr:
        """Updates that a careless analysis takes for affine."""
        now = self.current[var.name]
        half = mul(Const(0.5), now)
        drive = self.matched(self.drive(var.axes), var)
        return self.pick(
            (
                lambda: add(half, Unary("tanh", now)),
                lambda: Unary("tanh", Binary("sub", now, mul(now, now))),
                lambda: Where(Binary("gt", now, ZERO), half, Unary("neg", half)),
                lambda: add(mul(Const(0.5), Unary("abs", now)), drive),
                lambda: add(Binary("max", half, self.real(var.axes, 0)), mul(self.gate(()), half)),
                lambda: mul(Unary("tanh", now), Unary("tanh", add(now, drive))),
                lambda: Binary("div", now, add(ONE, mul(now, now))),
                lambda: Unary("sqrt", add(ONE, mul(half, now))),
                lambda: Unary("tanh", Binary("pow", now, Const(2))),
                lambda: add(half, Unary("sign", now)),
                lambda: mul(Unary("sigmoid", now), drive),
                lambda: Binary("max", half, add(mul(Const(0.25), now), drive)),
            )
        )()

    def output(self, number: int) -> Output:
        state = self.pick(self.states)
        name = f"y{number}"
        if self.chance(0.4):
            return Output(
                Var(name, state.sizes, self.current[state.name].kind == "complex"), canonical(self.current[state.name])
            )
        self.finished = [*self.states, *self.lets]
        known = {2, *self.symbolic_sizes()}
        axes = formal(self.pick([shape for shape in SHAPES if known.issuperset(shape)]))
        expr = add(self.coupled(state, axes), self.value(axes, 2))
        kind = expr.kind == "complex"
        return Output(Var(name, tuple(axis.size for axis in axes), kind), canonical(expr))


def _at(now: Expr, axis: Axis, place: Axis | int) -> Expr:
    return _at_all(now, (axis,), (place,))


def _at_all(now: Expr, axes: tuple[Axis, ...], places: tuple[Axis | int, ...]) -> Expr:
    return substitute(now, dict(zip(axes, places, strict=True)))


def random_values(
    recurrence: Recurrence,
    rng: np.random.Generator,
    steps: int,
    batch: tuple[int, ...] = (),
    sizes: Mapping[Size, int] | None = None,
) -> tuple[Values, Values, Values]:
    """Inputs `(*batch, steps, *features)`, params `(*features)` and an initial state `(*batch, *features)`.

    Values lie inside of what is promised of them, away from its ends; a state `t` is a step number. `sizes` gives the
    sizes that `SIZES` lacks, or other ones."""
    known: dict[Size, int] = {**SIZES, **(sizes or {}), **dict(recurrence.sizes)}

    def draw(var: Var, *leading: int) -> NDArray[np.generic]:
        shape = leading + tuple(size if isinstance(size, int) else known[size] for size in var.sizes)
        plain = 0.5 * rng.standard_normal(shape)
        if var.complex:
            return plain + 0.5j * rng.standard_normal(shape)
        return _inside(var.interval, plain, known)

    inputs = {var.name: draw(var, *batch, steps) for var in recurrence.inputs}
    params = {var.name: draw(var) for var in recurrence.params}
    state = {item.name: draw(item.var, *batch) for item in recurrence.states}
    if "t" in state:
        state["t"] = np.full(batch, float(rng.integers(6)))
    return inputs, params, state


def _inside(interval: Interval | None, plain: NDArray[np.float64], sizes: Mapping[Size, int]) -> NDArray[np.float64]:
    """Move values into an interval: unbounded sides keep their spread."""
    ends = (interval.low, interval.high) if interval else (None, None)
    low, high = (None if end is None else float(evaluate(end, {}, sizes)) for end in ends)
    bounded = [end for end in (low, high) if end is not None and math.isfinite(end)]
    if len(bounded) == 2:
        return bounded[0] + (bounded[1] - bounded[0]) * (0.05 + 0.9 / (1 + np.exp(-2 * plain)))
    if not bounded:
        return plain
    return bounded[0] + (0.02 + np.abs(plain)) * (1 if bounded[0] == low else -1)
