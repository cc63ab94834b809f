"""The meaning of an expression: a plain evaluation of the IR in NumPy, in float64 and complex128.

Vectorised over batch dims; written to be read, not to be fast. `interpreter` runs recurrences with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from string import ascii_letters
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Reduce,
    Ref,
    Roll,
    Size,
    SizeOf,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.ir.traverse import nodes

Array = NDArray[Any]
Sizes = Mapping[str, int] | Mapping[Size, int]

ROUNDING = 16  # units of rounding of the largest place: a smaller change of a fixed point says nothing


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _ctz(x: Array) -> Array:
    whole = x.astype(np.int64)
    lowest_bit = (whole & -whole).astype(np.float64)
    return np.where(whole == 0, 0.0, np.log2(np.where(whole == 0, 1.0, np.abs(lowest_bit))))


def _logsumexp(x: Array, axis: tuple[int, ...]) -> Array:
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    return np.log(np.sum(np.exp(x - shift), axis=axis)) + np.squeeze(shift, axis=axis)


UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "atan": np.arctan,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
    "sigmoid": _sigmoid,
    "logsigmoid": lambda x: np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x))),
    "softplus": lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
    "relu": lambda x: np.maximum(x, 0.0),
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.rint,
    "ctz": _ctz,
    "real": np.real,
    "imag": np.imag,
    "conj": np.conj,
    "not": np.logical_not,
}

BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "mod": np.mod,
    "floordiv": np.floor_divide,
    "max": np.maximum,
    "min": np.minimum,
    "logaddexp": np.logaddexp,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
}

REDUCTIONS: dict[str, Callable[[Array, tuple[int, ...]], Array]] = {
    "sum": lambda x, axis: np.sum(x, axis=axis),
    "max": lambda x, axis: np.max(x, axis=axis, initial=-np.inf),
    "min": lambda x, axis: np.min(x, axis=axis, initial=np.inf),
    "logsumexp": _logsumexp,
    "any": lambda x, axis: np.any(x, axis=axis),
}


def extent(size: Size, sizes: Sizes) -> int:
    """The number that a size stands for; `ValueError` for a name of unknown size."""
    if isinstance(size, int):
        return size
    if size not in sizes:
        raise ValueError(f"the size `{size}` is not known: no array that was given has it")
    return sizes[size]


@dataclass(frozen=True)
class Evaluation:
    """The value of expressions where names and sizes have the given values, each with `rank` batch dims in front."""

    env: Mapping[str, Array]
    sizes: Sizes
    rank: int

    def over(self, expr: Expr, axes: tuple[Axis, ...]) -> Array:
        """Dims `(*batch, *axes)`: the value transposed, and repeated along axes that the expression lacks."""
        value, own = self.value(expr), expr.axes
        if own == axes:
            return value
        missing = [axis for axis in axes if axis not in own]
        value = value.reshape(value.shape + (1,) * len(missing))
        places = {axis: self.rank + place for place, axis in enumerate((*own, *missing))}
        value = value.transpose(*range(self.rank), *(places[axis] for axis in axes))
        return np.broadcast_to(value, value.shape[: self.rank] + self.shape(axes))

    def shape(self, axes: Iterable[Axis]) -> tuple[int, ...]:
        return tuple(extent(axis.size, self.sizes) for axis in axes)

    def value(self, expr: Expr) -> Array:
        """Dims `(*batch, *expr.axes)`."""
        match expr:
            case Const(value):
                return self._constant(value if isinstance(value, (bool, complex)) else float(value))
            case SizeOf(size):
                return self._constant(float(extent(size, self.sizes)))
            case Ref():
                return self._ref(expr)
            case Arange(axis):
                return self._positions(axis).astype(np.float64).reshape((1,) * self.rank + (-1,))
            case Unary(op, x):
                return UNARY[op](self.value(x))
            case Binary(op, x, y):
                return BINARY[op](self.over(x, expr.axes), self.over(y, expr.axes))
            case Where(test, x, y):
                return np.where(self.over(test, expr.axes), self.over(x, expr.axes), self.over(y, expr.axes))
            case Reduce(op, x, over):
                return REDUCTIONS[op](self.over(x, expr.axes + over), tuple(range(-len(over), 0)))
            case Roll(x, axis, shift):
                return np.roll(self.value(x), shift, axis=self.rank + x.axes.index(axis))
            case Window():
                return self._window(expr)
            case Fold():
                return self._fold(expr)
            case Solve():
                return self._solve(expr)
            case Fixpoint():
                return self._fixpoint(expr)

    def _constant(self, value: bool | float | complex) -> Array:
        return np.full((1,) * self.rank, value)

    def _positions(self, axis: Axis) -> NDArray[np.int64]:
        return np.arange(extent(axis.size, self.sizes), dtype=np.int64)

    def _ref(self, ref: Ref) -> Array:
        """Fixed positions are selected; then an axis that stands twice is the diagonal of its places."""
        value = self.env[ref.name]
        selection = tuple(item if isinstance(item, int) else slice(None) for item in ref.index)
        value = value[(slice(None),) * self.rank + selection]
        if len(ref.axes) == value.ndim - self.rank:
            return value
        letters = dict(zip(ref.axes, ascii_letters, strict=False))
        places = "".join(letters[item] for item in ref.index if isinstance(item, Axis))
        return np.einsum(f"...{places}->...{''.join(letters.values())}", value)

    def _window(self, window: Window) -> Array:
        rest = tuple(axis for axis in window.axes if axis not in (window.axis, window.tap))
        x = self.over(window.x, (*rest, window.axis))
        taps = self._positions(window.tap)
        sources = self._positions(window.axis)[:, None] + taps[None, :] - len(taps) // 2
        out = _neighbours(x, sources, window.wrap)
        return self._reorder(out, (*rest, window.axis, window.tap), window.axes)

    def _fold(self, fold: Fold) -> Array:
        rest = tuple(axis for axis in fold.axes if axis != fold.axis)
        x = self.over(fold.x, (*rest, fold.axis, fold.tap))
        taps, places = self._positions(fold.tap), self._positions(fold.axis)
        out = np.zeros(x.shape[:-1], x.dtype)
        for tap in taps:
            out = out + _neighbours(x[..., tap], places - tap + len(taps) // 2, fold.wrap)
        return self._reorder(out, (*rest, fold.axis), fold.axes)

    def _solve(self, solve: Solve) -> Array:
        rest = tuple(axis for axis in solve.axes if axis != solve.col)
        matrix = self.over(solve.matrix, (*rest, solve.row, solve.col))
        rhs = self.over(solve.rhs, (*rest, solve.row))
        out = np.linalg.solve(matrix, rhs[..., None])[..., 0]
        return self._reorder(out, (*rest, solve.col), solve.axes)

    def _fixpoint(self, node: Fixpoint) -> Array:
        """Each batch element ends by itself: what is beside it does not count."""
        given = {let.name: self.over(let.expr, let.axes) for let in node.given}
        axes = node.unknown.axes
        y, moving = self.over(node.start, axes), np.array(True)
        for _ in range(node.rounds):
            known = {**given, node.unknown.name: y}
            step = Evaluation(known, self.sizes, self.rank)
            for let in node.lets:
                known[let.name] = step.over(let.expr, let.axes)
            new = step.over(node.result, axes)
            settled = _settled(node, new, y, tuple(range(self.rank, new.ndim)))
            y, moving = np.where(moving, new, y), moving & ~settled
            if not moving.any():
                break
        return y

    def _reorder(self, value: Array, axes: tuple[Axis, ...], wanted: tuple[Axis, ...]) -> Array:
        return value.transpose(*range(self.rank), *(self.rank + axes.index(axis) for axis in wanted))


def _settled(node: Fixpoint, new: Array, old: Array, features: tuple[int, ...]) -> Array:
    """Whether a round changed no place of a batch element by more than the tolerance, or than rounding does."""
    size = np.abs(new)
    largest = np.max(size, axis=features, keepdims=True, initial=0.0)
    scale, whole = (largest, largest) if node.relative else (1.0 + size, 1.0 + largest)
    limit = np.maximum(node.tolerance * scale, ROUNDING * np.finfo(np.float64).eps * whole)
    return np.all(np.abs(new - old) <= limit, axis=features, keepdims=True)


def _neighbours(x: Array, sources: NDArray[np.int64], wrap: bool) -> Array:
    """`x[..., sources]`, where a source outside of the last dim is taken around the end or is zero."""
    size = x.shape[-1]
    inside = (sources >= 0) & (sources < size)
    found = x[..., sources % max(size, 1)]
    return found if wrap else np.where(inside, found, np.zeros((), x.dtype))


def evaluate(expr: Expr, env: Mapping[str, Array], sizes: Sizes) -> Array:
    """The value of an expression, with dims `(*batch, *expr.axes)`.

    Arrays in `env` have dims `(*batch, *axes of the name)` with one number of batch dims, of which those of size 1
    are broadcast. An expression that reads no name has no batch dims. Raises `ValueError` for an unknown size and for
    differing numbers of batch dims, `numpy.linalg.LinAlgError` for a `Solve` with a singular matrix."""
    ranks = {np.ndim(env[node.name]) - len(node.index) for node in nodes(expr) if isinstance(node, Ref)}
    if len(ranks) > 1:
        raise ValueError(f"values with different numbers of batch dims: {sorted(ranks)}")
    with np.errstate(all="ignore"):
        return Evaluation(env, sizes, next(iter(ranks), 0)).value(expr)
