"""Random values for the inputs and params of a recurrence, in the ranges and under the promises that it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recc.ir.evaluation import Array, Evaluation, extent
from recc.ir.interpreter import Values
from recc.ir.nodes import Binary, Const, Expr, Interval, Recurrence, Ref, Size, Var
from recc.ir.traverse import nodes

MARGIN = 0.02  # of an interval's width at both ends, so that values stay inside when they are rounded
REDRAWS = 64
EQUAL = 1e-6


@dataclass(frozen=True)
class Shape:
    """How many rows, lanes and steps are drawn, and the number that each symbolic size stands for."""

    rows: int
    lanes: int
    steps: int
    sizes: Mapping[Size, int]


@dataclass(frozen=True)
class Sample:
    """Inputs `(rows, lanes or 1, steps, *features)`, params `(rows or 1, lanes or 1, *features)`.

    All values are float32 or complex64 numbers held in double precision. `broken` are promises that no drawn values
    keep."""

    shape: Shape
    inputs: Values
    params: Values
    broken: tuple[str, ...] = ()


def symbolic_sizes(recurrence: Recurrence, numbers: tuple[int, ...]) -> dict[Size, int]:
    """A number for each size, those that are known when compiling and then `numbers`, over and over, for the others."""
    sizes: dict[Size, int] = dict(recurrence.sizes)
    named = [size for var in recurrence.variables for size in var.sizes if isinstance(size, str) and size not in sizes]
    for position, size in enumerate(dict.fromkeys(named)):
        sizes[size] = numbers[position % len(numbers)]
    return sizes


def draw_sample(recurrence: Recurrence, rng: np.random.Generator, shape: Shape, scale: float = 1.0) -> Sample:
    """Random values for a recurrence; those without a range are normal, times `scale`.

    Every second input has one lane for all; params take turns in having rows and lanes, lanes, or neither."""
    draws = _Draws(recurrence, rng, shape, scale)
    values = {var.name: draws.value(var) for var in (*recurrence.params, *recurrence.inputs)}
    tests = [(promise, test) for promise in recurrence.promises for test in _conjuncts(promise.test)]
    for _, test in tests:
        draws.project(test, values)
        draws.rescale(test, values)
    for _ in range(REDRAWS):
        failing = [test for _, test in tests if not draws.holds(test, values).all()]
        if not failing:
            break
        draws.redraw(failing[0], values)
    broken = dict.fromkeys(promise.text for promise, test in tests if not draws.holds(test, values).all())
    inputs = {var.name: values[var.name] for var in recurrence.inputs}
    return Sample(shape, inputs, {var.name: values[var.name][:, :, 0] for var in recurrence.params}, tuple(broken))


def single(values: Array) -> Array:
    """The nearest numbers of single precision, in double precision."""
    kind, wide = (np.complex64, np.complex128) if np.iscomplexobj(values) else (np.float32, np.float64)
    return values.astype(kind).astype(wide)


def normal(rng: np.random.Generator, shape: tuple[int, ...], is_complex: bool) -> Array:
    """Standard normal numbers, exact in single precision."""
    if not is_complex:
        return single(rng.standard_normal(shape))
    return single((rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2))


class _Draws:
    """Values with dims `(rows or 1, lanes or 1, steps or 1, *features)`; params have one step."""

    def __init__(self, recurrence: Recurrence, rng: np.random.Generator, shape: Shape, scale: float):
        self._rng, self._shape, self._scale = rng, shape, scale
        self._vars = {var.name: var for var in (*recurrence.inputs, *recurrence.params)}
        self._params = recurrence.params
        self._lead: dict[str, tuple[int, int, int]] = {}
        for position, var in enumerate(recurrence.inputs):
            self._lead[var.name] = (shape.rows, 1 if position % 2 else shape.lanes, shape.steps)
        for position, var in enumerate(recurrence.params):
            rows, lanes = ((1, 1), (1, shape.lanes), (shape.rows, shape.lanes))[position % 3]
            self._lead[var.name] = (rows, lanes, 1)

    def value(self, var: Var) -> Array:
        features = tuple(extent(size, self._shape.sizes) for size in var.sizes)
        lead = self._lead[var.name]
        if var.interval is not None and not var.complex:
            return single(_within(var.interval, self._rng, lead + features))
        mixed = features[-1] if var in self._params and len(features) > 1 else 1
        factor = self._scale / np.sqrt(max(mixed, 1))
        return single(factor * normal(self._rng, lead + features, var.complex))

    def holds(self, test: Expr, values: Values) -> NDArray[np.bool_]:
        """Whether a test holds, an equation to the precision of single numbers; dims `(*batch, *test.axes)`."""
        if not (isinstance(test, Binary) and test.op == "eq"):
            return self._evaluate(test, values).astype(bool)
        left, right = (self._over(side, test, values) for side in (test.x, test.y))
        return np.abs(left - right) <= EQUAL * (1 + np.abs(right))

    def project(self, test: Expr, values: Values) -> None:
        """Keep `x == f(x)`, as of whole numbers or one-hot vectors, by `f(x)` in place of `x`."""
        if not isinstance(test, Binary) or test.op != "eq":
            return
        for side, other in ((test.x, test.y), (test.y, test.x)):
            if isinstance(side, Ref) and self._read(other) == [side.name]:
                placed = self._place(self._over(other, test, values), test, self._vars[side.name])
                if placed is not None and placed.shape == values[side.name].shape:
                    values[side.name] = single(placed)

    def rescale(self, test: Expr, values: Values) -> None:
        """Keep `f(x) == c`, `f(x) <= c` or `f(x) >= c` by a factor on `x`, where `f` scales like `x` or its square, and
        `f(x) == c` by a shift of `x`, where `f` shifts with it."""
        if not isinstance(test, Binary) or test.op not in ("eq", "le", "lt", "ge", "gt"):
            return
        for side, other in ((test.x, test.y), (test.y, test.x)):
            names = self._read(side)
            if len(names) == 1 and not self._read(other) and not isinstance(side, Ref):
                self._rescale(self._vars[names[0]], side, self._over(other, test, values), test, values)

    def _rescale(self, var: Var, side: Expr, bound: Array, test: Expr, values: Values) -> None:
        now = self._over(side, test, values)
        moved = self._over(side, test, {**values, var.name: values[var.name] + 1})
        shift = self._place(bound - now, test, var)
        if isinstance(test, Binary) and test.op == "eq" and shift is not None and np.allclose(moved, now + 1):
            values[var.name] = single(values[var.name] + shift)
            return
        twice = self._over(side, test, {**values, var.name: 2 * values[var.name]})
        with np.errstate(all="ignore"):
            degree = next((d for d in (1, 2) if np.allclose(twice, 2**d * now, rtol=1e-12)), None)
            factor = (bound / now) ** (1 / degree) if degree else np.ones(())
        placed = self._place(np.asarray(factor), test, var)
        if degree is None or placed is None or not np.isfinite(placed).all() or (placed <= 0).any():
            return
        held = self._place(self.holds(test, values), test, var)
        assert held is not None
        slack = 1.0 if isinstance(test, Binary) and test.op == "eq" else np.where(placed < 1, 1 - MARGIN, 1 + MARGIN)
        values[var.name] = single(values[var.name] * np.where(held, 1.0, placed * slack))

    def redraw(self, test: Expr, values: Values) -> None:
        """New values for all that a test reads, where it does not hold."""
        held = self.holds(test, values)
        for name in self._read(test):
            var = self._vars[name]
            placed = self._place(held, test, var)
            fresh = self.value(var)
            if placed is None:
                placed = np.zeros((), bool)
            else:
                reduced = tuple(i for i, size in enumerate(self._lead[name]) if size == 1)
                placed = placed.all(axis=reduced, keepdims=True)
            values[name] = np.where(placed, values[name], fresh)

    def _place(self, value: Array, test: Expr, var: Var) -> Array | None:
        """Dims `(*batch, *test.axes)` as `(*batch, *axes of var or 1)`; None unless the test says where each goes."""
        indices = {node.index for node in nodes(test) if isinstance(node, Ref) and node.name == var.name}
        named = {tuple(axis if axis in test.axes else None for axis in index) for index in indices}
        complete = [axes for axes in named if set(test.axes) <= set(axes)]
        if len(complete) != 1:
            return None
        (axes,) = complete
        order = [axis for axis in axes if axis in test.axes]
        value = value.transpose(0, 1, 2, *(3 + test.axes.index(axis) for axis in order))
        missing = tuple(3 + place for place, axis in enumerate(axes) if axis not in order)
        return np.expand_dims(value, missing)

    def _read(self, expr: Expr) -> list[str]:
        return list(dict.fromkeys(node.name for node in nodes(expr) if isinstance(node, Ref)))

    def _evaluation(self, values: Values) -> Evaluation:
        return Evaluation(values, self._shape.sizes, 3)

    def _evaluate(self, expr: Expr, values: Values) -> Array:
        with np.errstate(all="ignore"):
            return self._evaluation(values).value(expr)

    def _over(self, expr: Expr, test: Expr, values: Values) -> Array:
        with np.errstate(all="ignore"):
            return self._evaluation(values).over(expr, test.axes)


def _within(interval: Interval, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Uniform in a bounded interval; else at distances of many magnitudes from its end."""
    low, high = _number(interval.low, -np.inf), _number(interval.high, np.inf)
    if np.isfinite(low) and np.isfinite(high):
        margin = MARGIN * (high - low)
        return rng.uniform(low + margin, high - margin, shape)
    distance = np.exp(rng.uniform(np.log(1e-3), np.log(2.0), shape))
    if np.isfinite(low):
        return low + distance * max(1.0, abs(low))
    return high - distance * max(1.0, abs(high)) if np.isfinite(high) else rng.standard_normal(shape)


def _number(bound: Expr | None, absent: float) -> float:
    return float(bound.value) if isinstance(bound, Const) and not isinstance(bound.value, complex) else absent


def _conjuncts(test: Expr) -> Iterator[Expr]:
    if isinstance(test, Binary) and test.op == "and":
        yield from _conjuncts(test.x)
        yield from _conjuncts(test.y)
    else:
        yield test
