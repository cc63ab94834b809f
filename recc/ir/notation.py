"""Expressions as text in the surface language, by operator precedence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from recc.ir.nodes import (
    COMPARISONS,
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
    formal,
)
from recc.ir.traverse import substitute

# How tightly the operators bind, as in the grammar.
OR, AND, NOT, COMPARE, SUM, PRODUCT, NEGATION, POWER, ATOM = range(1, 10)
OPERATORS: dict[str, tuple[str, int]] = {
    "or": ("or", OR),
    "and": ("and", AND),
    "lt": ("<", COMPARE),
    "le": ("<=", COMPARE),
    "gt": (">", COMPARE),
    "ge": (">=", COMPARE),
    "eq": ("==", COMPARE),
    "ne": ("!=", COMPARE),
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "floordiv": ("//", PRODUCT),
    "mod": ("%", PRODUCT),
    "pow": ("**", POWER),
}


class NotPlain(Exception):
    """The axes of an expression can only be said with index names."""


def show_expr(expr: Expr) -> str:
    """An expression as a short text for messages: names without their axes, `sum(k * S, axis=K)`."""
    return Writer().text(expr)


class Writer:
    """Writes expressions without index names; `names` says what a variable is called in the text."""

    def __init__(self, names: Mapping[str, str] | None = None):
        self.names = {} if names is None else names

    def text(self, expr: Expr, level: int = OR) -> str:
        """The text, in brackets if it binds less tightly than `level`."""
        text, own = self.written(expr)
        return f"({text})" if own < level else text

    def written(self, expr: Expr) -> tuple[str, int]:
        match expr:
            case Const(value):
                return number(value)
            case SizeOf(size):
                return size, ATOM
            case Ref():
                return self.ref(expr), ATOM
            case Arange(axis):
                return self.position(axis), ATOM
            case Unary("neg", x):
                return f"-{self.text(x, NEGATION)}", NEGATION
            case Unary("not", x):
                return f"not {self.text(x, NOT)}", NOT
            case Unary(op, x):
                return f"{op}({self.text(x)})", ATOM
            case Binary(op, x, y):
                return self.binary(op, x, y)
            case Where(test, x, y):
                if (size := identity(expr)) is not None:
                    return f"eye({size})", ATOM
                return f"where({self.text(test)}, {self.text(x)}, {self.text(y)})", ATOM
            case _:
                return self.along_axes(expr)

    def along_axes(self, expr: Reduce | Roll | Window | Fold | Solve | Fixpoint) -> tuple[str, int]:
        match expr:
            case Reduce("any", x, over):
                counted = Where(x, Const(1), Const(0))
                return f"{self.text(Reduce('sum', counted, over), SUM)} > 0", COMPARE
            case Reduce(op, x, over):
                if (parts := convolution(expr)) is not None:
                    return self.convolution(*parts), ATOM
                return f"{op}({self.text(_operand(x, over))}{self.along(x, over)})", ATOM
            case Roll(x, axis, shift):
                return f"roll({self.text(x)}, {shift}, axis={self.axis(axis)})", ATOM
            case Window(x, axis, _, wrap) | Fold(x, axis, _, wrap):
                name = type(expr).__name__.lower()
                return f"{name}({self.text(x)}, axis={self.axis(axis)}{', wrap=True' if wrap else ''})", ATOM
            case Solve():
                matrix, rhs = _system(expr)
                return f"solve({self.text(matrix)}, {self.text(rhs)})", ATOM
            case Fixpoint(start=start, tolerance=tolerance, rounds=rounds, relative=relative):
                ending = f"tol={number(tolerance)[0]}, max={rounds}{', relative=True' if relative else ''}"
                return f"fixpoint({self.text(start)}, {ending})", ATOM

    def binary(self, op: str, x: Expr, y: Expr) -> tuple[str, int]:
        if op not in OPERATORS:
            return f"{op}({self.text(x)}, {self.text(y)})", ATOM
        sign, level = OPERATORS[op]
        if op == "pow":
            return f"{self.text(x, ATOM)} ** {self.text(y, NEGATION)}", level
        left = level + 1 if op in COMPARISONS else level
        return f"{self.text(x, left)} {sign} {self.text(y, level + 1)}", level

    def convolution(self, x: Expr, weights: Ref, window: Window) -> str:
        wrap = ", wrap=True" if window.wrap else ""
        return f"conv({self.text(x)}, {self.ref(weights)}, axis={self.axis(window.axis)}{wrap})"

    def ref(self, ref: Ref) -> str:
        name = self.names.get(ref.name, ref.name)
        places = [str(item) for item in ref.index if isinstance(item, int)]
        if not places and transposed(ref):
            return f"{name}.T"
        return f"{name}[{', '.join(places)}]" if places else name

    def position(self, axis: Axis) -> str:
        return f"arange({axis.size})"

    def axis(self, axis: Axis) -> str:
        return str(axis.size)

    def along(self, x: Expr, over: tuple[Axis, ...]) -> str:
        """The `axis=` of a reduction; nothing if all axes are reduced."""
        if set(x.axes) <= set(over):
            return ""
        named = [self.axis(axis) for axis in over]
        return f", axis={named[0]}" if len(named) == 1 else f", axis=({', '.join(named)})"


class IndexWriter(Writer):
    """Writes expressions with an index name for every axis.

    `known` holds the axes that index something of known size in the equation: their name is a position."""

    def __init__(self, names: Mapping[str, str], indices: Mapping[Axis, str], known: frozenset[Axis]):
        super().__init__(names)
        self.indices = indices
        self.known = known

    def written(self, expr: Expr) -> tuple[str, int]:
        if isinstance(expr, Where):
            return f"where({self.text(expr.test)}, {self.text(expr.x)}, {self.text(expr.y)})", ATOM
        if isinstance(expr, Solve):
            return f"solve({self.text(expr.matrix)}, {self.text(expr.rhs)})", ATOM
        if isinstance(expr, Reduce) and expr.op != "any":
            return f"{expr.op}({self.text(expr.x)}{self.along(expr.x, expr.over)})", ATOM
        return super().written(expr)

    def ref(self, ref: Ref) -> str:
        name = self.names.get(ref.name, ref.name)
        places = ", ".join(self.indices[item] if isinstance(item, Axis) else str(item) for item in ref.index)
        return f"{name}[{places}]" if places else name

    def position(self, axis: Axis) -> str:
        return self.indices[axis] if axis in self.known else f"arange({axis.size})[{self.indices[axis]}]"

    def axis(self, axis: Axis) -> str:
        return self.indices[axis]

    def along(self, x: Expr, over: tuple[Axis, ...]) -> str:
        named = [self.axis(axis) for axis in over]
        return f", axis={named[0]}" if len(named) == 1 else f", axis=({', '.join(named)})"


def number(value: bool | int | float | complex) -> tuple[str, int]:
    """A constant as an expression that is folded to it; the language has no word for true, infinity of it is `inf`."""
    if isinstance(value, bool):
        return ("0 == 0" if value else "0 == 1"), COMPARE
    if isinstance(value, complex):
        imaginary, level = number(value.imag)
        if value.real == 0 and math.copysign(1.0, value.real) > 0 and math.isfinite(value.imag):
            return f"{imaginary}j", level
        return f"{number(value.real)[0]} + {imaginary} * 1j", SUM
    if math.isnan(value):
        return "inf - inf", SUM
    negative = value < 0 or (value == 0 and math.copysign(1.0, value) < 0)
    text = "inf" if math.isinf(value) else repr(abs(value))
    return (f"-{text}", NEGATION) if negative else (text, ATOM)


def identity(expr: Where) -> Size | None:
    """The size of `eye(size)`, if this is one over a variable's axes."""
    match expr:
        case Where(Binary("eq", Arange(Axis(size, 0)), Arange(Axis(other, 1))), Const(one), Const(zero)):
            numbers = not isinstance(one, bool) and not isinstance(zero, bool)
            return size if numbers and size == other and (one, zero) == (1, 0) else None
    return None


def transposed(ref: Ref) -> bool:
    """Whether an index is that of a variable with its last two axes, of one size, exchanged."""
    if len(ref.index) < 2 or not all(isinstance(item, Axis) for item in ref.index):
        return False
    *first, row, col = ref.axes if len(ref.axes) == len(ref.index) else ref.index
    swapped = (*first, col, row)
    if not isinstance(row, Axis) or not isinstance(col, Axis) or row.size != col.size:
        return False
    return swapped == formal(tuple(item.size for item in swapped if isinstance(item, Axis)))


def convolution(expr: Reduce) -> tuple[Expr, Ref, Window] | None:
    """The operands of `conv(x, W, axis=X)` and its neighbourhoods, if a reduction is one over variables' axes."""
    match expr:
        case Reduce("sum", Binary("mul", Window(x, axis, tap) as window, Ref() as weights), (channel, last)):
            own = Axis(channel.size, 0)
            fits = len(weights.index) == 3 and weights.index[1:] == (channel, tap) and last == tap
            if fits and channel in x.axes and own not in x.axes and weights.index[0] not in (channel, tap, axis):
                return substitute(x, {channel: own}), weights, window
    return None


def plain_axes(expr: Expr) -> tuple[Axis, ...]:
    """The axes, in order, of the value that `Writer`'s text of an expression has in the language.

    Raises `NotPlain` if that text would mean something else, or nothing."""
    axes = _plain(expr)
    if axes != formal(tuple(axis.size for axis in axes)):
        raise NotPlain
    return axes


def _plain(expr: Expr) -> tuple[Axis, ...]:
    match expr:
        case Const() | SizeOf():
            return ()
        case Ref() if transposed(expr):
            return formal(tuple(axis.size for axis in expr.axes))
        case Ref(_, index):
            selected = next((place for place, item in enumerate(index) if isinstance(item, Axis)), len(index))
            rest = tuple(item for item in index[selected:] if isinstance(item, Axis))
            if len(rest) < len(index) - selected or len(set(rest)) < len(rest):
                raise NotPlain
            return rest
        case Arange(axis):
            return (axis,)
        case Unary(_, x):
            return plain_axes(x)
        case Binary(_, x, y):
            return _joined(plain_axes(x), plain_axes(y))
        case Where(test, x, y):
            if identity(expr) is not None:
                return expr.axes
            return _joined(_joined(plain_axes(x), plain_axes(y)), plain_axes(test))
        case Reduce(_, x, over):
            parts = convolution(expr)
            return _reduced(x, over) if parts is None else _convolved(*parts)
        case Roll(x, axis):
            axes = plain_axes(x)
            _single(axis.size, axes)
            return axes
        case Solve():
            return _solved(expr)
        case _:
            raise NotPlain


def _single(size: Size, axes: tuple[Axis, ...]) -> None:
    """A size names an axis only where no other axis has it."""
    if sum(axis.size == size for axis in axes) != 1:
        raise NotPlain


def _joined(x: tuple[Axis, ...], y: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """The axes of an elementwise operation by the language's rule: one side has all of the other's."""
    for axis in (*x, *y):
        counts = [sum(other.size == axis.size for other in side) for side in (x, y)]
        if max(counts) > 1 and min(counts) > 0 and counts[0] != counts[1]:
            raise NotPlain
    if set(x) <= set(y):
        return y
    if not set(y) <= set(x):
        raise NotPlain
    return x


def _operand(x: Expr, over: tuple[Axis, ...]) -> Expr:
    """What is reduced, with bound axes named as a variable's: by their order if all are reduced, else as the first."""
    everything = set(x.axes) <= set(over)
    own = formal(tuple(axis.size for axis in x.axes)) if everything else tuple(Axis(axis.size, 0) for axis in over)
    return substitute(x, dict(zip(x.axes if everything else over, own, strict=True)))


def _reduced(x: Expr, over: tuple[Axis, ...]) -> tuple[Axis, ...]:
    axes = plain_axes(_operand(x, over))
    if set(x.axes) <= set(over):
        return ()
    for axis in over:
        _single(axis.size, x.axes)
    sizes = {axis.size for axis in over}
    return tuple(axis for axis in axes if axis.size not in sizes)


def _convolved(x: Expr, weights: Ref, window: Window) -> tuple[Axis, ...]:
    axes, out, channel = plain_axes(x), weights.index[0], weights.index[1]
    if not isinstance(out, Axis) or not isinstance(channel, Axis):
        raise NotPlain
    _single(window.axis.size, axes)
    _single(channel.size, axes)
    return tuple(out if axis.size == channel.size else axis for axis in axes)


def _system(expr: Solve) -> tuple[Expr, Expr]:
    """The matrix and the right side of a system, with axes named as a variable's."""
    row, col = Axis(expr.row.size, 0), Axis(expr.col.size, 1)
    return substitute(expr.matrix, {expr.row: row, expr.col: col}), substitute(expr.rhs, {expr.row: row})


def _solved(expr: Solve) -> tuple[Axis, ...]:
    row, col = Axis(expr.row.size, 0), Axis(expr.col.size, 1)
    if expr.row not in expr.rhs.axes or expr.col != row:
        raise NotPlain
    matrix, rhs = (plain_axes(part) for part in _system(expr))
    _single(row.size, rhs)
    if matrix[-2:] != (row, col) or not set(matrix[:-2]) <= set(rhs) - {row}:
        raise NotPlain
    return rhs
