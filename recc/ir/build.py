"""Constructors that fold what can be decided while compiling: constants, neutral elements, double signs.

A product with the constant zero is not folded: zero times infinity is not zero."""

from __future__ import annotations

import math
from collections.abc import Iterable

from recc.ir.logic import negation, simplified
from recc.ir.nodes import COMPARISONS, Arange, Axis, Binary, Const, Expr, Reduce, SizeOf, Unary, Where

ZERO, ONE = Const(0), Const(1)
MINUS_INFINITY = Const(-math.inf)

LARGEST_WHOLE = 2**53  # whole numbers beyond it are not all floating-point numbers

_FUNCTIONS = {
    name: getattr(math, name)
    for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh", "sinh", "cosh", "atan", "erf")
} | {"abs": abs}

_FOLDED = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "mod": lambda x, y: x % y,
    "floordiv": lambda x, y: x // y,
    "max": max,
    "min": min,
    "lt": lambda x, y: x < y,
    "le": lambda x, y: x <= y,
    "gt": lambda x, y: x > y,
    "ge": lambda x, y: x >= y,
    "eq": lambda x, y: x == y,
    "ne": lambda x, y: x != y,
    "and": lambda x, y: x and y,
    "or": lambda x, y: x or y,
}


def is_const(expr: Expr, value: object) -> bool:
    """Whether an expression is this very number (true is not 1)."""
    return isinstance(expr, Const) and not isinstance(expr.value, bool) and expr.value == value


def unary(op: str, x: Expr, **at) -> Expr:
    """An operation on one value; `real` and `conj` of a real value and double signs vanish."""
    if op in ("real", "conj") and x.kind != "complex":
        return x
    if op == "neg":
        if isinstance(x, Const):
            return Const(-x.value, **at)
        if isinstance(x, Unary) and x.op == "neg":
            return x.x
    if op in ("real", "imag", "conj") and isinstance(x, Const):
        value = complex(x.value)
        return Const(value.conjugate() if op == "conj" else getattr(value, op), **at)
    if op == "not" and isinstance(x, (Const, Unary)):
        return negation(x)
    if op in _FUNCTIONS and isinstance(x, Const) and x.kind == "real":
        return Const(_function(op, float(x.value)), **at)  # type: ignore[arg-type]
    return Unary(op, x, **at)


def _function(op: str, x: float) -> float:
    """A function of a number, with infinity for what is too large and NaN where it has no value."""
    if op == "log" and x == 0:
        return -math.inf
    try:
        return float(_FUNCTIONS[op](x))
    except OverflowError:
        return -math.inf if op == "sinh" and x < 0 else math.inf
    except ValueError:
        return math.nan


def binary(op: str, x: Expr, y: Expr, **at) -> Expr:
    """An operation on two values, folded if both are constants or one is neutral."""
    if isinstance(x, Const) and isinstance(y, Const):
        folded = _fold(op, x.value, y.value)
        if folded is not None:
            return Const(folded, **at)
    simpler = _neutral(op, x, y)
    return Binary(op, x, y, **at) if simpler is None else simpler


def _fold(op: str, x, y):
    if op == "pow" and isinstance(x, int) and isinstance(y, int) and x.bit_length() * abs(y) > 53:
        x = float(x)  # the digits of a tower of whole numbers would fill the memory
    try:
        value = _FOLDED[op](x, y)
    except (KeyError, ArithmeticError, ValueError, TypeError):
        return None
    if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
        value = float(value)
    if isinstance(value, complex) and not isinstance(x, complex) and not isinstance(y, complex):
        return None
    return value


def _neutral(op: str, x: Expr, y: Expr) -> Expr | None:
    """`x + 0`, `x * 1`, `x - (-y)`, `2 * (0.5 * x)` and their like; None if nothing applies."""
    match op:
        case "add" if is_const(x, 0):
            return y
        case "add" | "sub" if is_const(y, 0) or _zeros_along(y, x.axes):
            return x
        case "add" if _zeros_along(x, y.axes):
            return y
        case "add" if _negated(y):
            return binary("sub", x, y.x)  # type: ignore[union-attr]
        case "add" if _negated(x):
            return binary("sub", y, x.x)  # type: ignore[union-attr]
        case "add" if x == y:
            return mul(Const(2), x)
        case "sub" if is_const(x, 0):
            return unary("neg", y)
        case "sub" if _negated(y):
            return binary("add", x, y.x)  # type: ignore[union-attr]
        case "mul":
            return _product(x, y)
        case "div" | "pow" if is_const(y, 1):
            return x
    return None


def _negated(expr: Expr) -> bool:
    return isinstance(expr, Unary) and expr.op == "neg"


def _zeros_along(expr: Expr, axes: tuple[Axis, ...]) -> bool:
    """Whether an expression is the zeros that `spread` adds, along one of some axes."""
    return (
        isinstance(expr, Binary)
        and expr.op == "mul"
        and is_const(expr.x, 0)
        and isinstance(expr.y, Arange)
        and expr.y.axis in axes
    )


def _product(x: Expr, y: Expr) -> Expr | None:
    if isinstance(y, Const) and not isinstance(x, Const):
        x, y = y, x
        if not isinstance(x.value, bool) and x.value not in (1, -1) and not _scaled(y):  # type: ignore[union-attr]
            return None
    if is_const(x, 1):
        return y
    if is_const(x, -1):
        return unary("neg", y)
    if isinstance(x, Const) and _scaled(y):
        return binary("mul", binary("mul", x, y.x), y.y)  # type: ignore[union-attr]
    if _negated(x):
        return unary("neg", binary("mul", x.x, y))  # type: ignore[union-attr]
    if _negated(y):
        return unary("neg", binary("mul", x, y.x))  # type: ignore[union-attr]
    return None


def _scaled(expr: Expr) -> bool:
    return isinstance(expr, Binary) and expr.op == "mul" and isinstance(expr.x, Const)


def add(x: Expr, y: Expr) -> Expr:
    return binary("add", x, y)


def sub(x: Expr, y: Expr) -> Expr:
    return binary("sub", x, y)


def mul(x: Expr, y: Expr) -> Expr:
    return binary("mul", x, y)


def div(x: Expr, y: Expr) -> Expr:
    return binary("div", x, y)


def neg(x: Expr) -> Expr:
    return unary("neg", x)


def where(test: Expr, x: Expr, y: Expr, **at) -> Expr:
    """A choice, taken while compiling if the condition is a constant and no axes would be lost."""
    if isinstance(test, Const):
        return x if test.value else y
    return Where(test, x, y, **at)


def total(x: Expr, axes: tuple[Axis, ...]) -> Expr:
    """Sum over axes, also over those along which `x` is constant (times their size)."""
    present = tuple(axis for axis in axes if axis in x.axes)
    result: Expr = Reduce("sum", x, present) if present else x
    for axis in axes:
        if axis not in present:
            size = Const(axis.size) if isinstance(axis.size, int) else SizeOf(axis.size)
            result = mul(size, result)
    return result


def spread(x: Expr, axes: Iterable[Axis]) -> Expr:
    """The same value with all of the axes, also those along which `x` is constant."""
    for axis in axes:
        if axis not in x.axes and x.kind == "bool":
            x = Binary("or", x, Binary("lt", Arange(axis), ZERO))
        elif axis not in x.axes:
            x = add(x, Binary("mul", ZERO, Arange(axis)))
    return x


def equal_positions(axis: Axis, other: Axis | int) -> Expr:
    """1 where an axis stands at another axis's position, or at a fixed one."""
    place: Expr = Const(other) if isinstance(other, int) else Arange(other)
    return Binary("eq", Arange(axis), place)


def refold(expr: Expr) -> Expr:
    """Apply the folding constructors to a node whose parts are already folded."""
    match expr:
        case Unary(op, x):
            return unary(op, x, span=expr.span)
        case Binary("and" | "or"):
            return simplified(expr)
        case Binary(op, x, y) if op not in COMPARISONS or isinstance(x, Const):
            return binary(op, x, y, span=expr.span)
        case Where(test, x, y) if isinstance(test, Const):
            return spread(x if test.value else y, expr.axes)
        case Where(test, x, Const(False)) if x.kind == "bool":
            return simplified(Binary("and", test, x, span=expr.span))
        case Where(test, Where(inner, x, _), y) if inner == test and set(x.axes) | set(y.axes) | set(test.axes) == set(
            expr.axes
        ):
            return Where(test, x, y, span=expr.span)
        case _:
            return expr
