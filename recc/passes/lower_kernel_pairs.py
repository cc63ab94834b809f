"""Arithmetic of complex numbers, as expressions of their real and imaginary parts."""

from __future__ import annotations

import math

from recc.ir.build import ONE, ZERO, add, binary, div, is_const, mul, neg, sub, unary, where
from recc.ir.logic import FALSE
from recc.ir.nodes import Binary, Const, Expr

Pair = tuple[Expr, Expr]
LARGEST_POWER = 8
PI, NAN = Const(math.pi), Const(math.nan)


def times(x: Expr, y: Expr) -> Expr:
    """A product in which an imaginary part that is not there stays away, as in arithmetic with real numbers."""
    return ZERO if is_const(x, 0) or is_const(y, 0) else mul(x, y)


def product(x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    return sub(times(a, c), times(b, d)), add(times(a, d), times(b, c))


def quotient(x: Pair, y: Pair) -> Pair:
    (a, b), (c, d) = x, y
    if is_const(d, 0):
        return div(a, c), div(b, c)
    size = add(mul(c, c), mul(d, d))
    re, im = product((a, b), (c, neg(d)))
    return div(re, size), div(im, size)


def magnitude(x: Expr, y: Expr) -> Expr:
    """`hypot`: the larger part times a root, so that squares do not overflow."""
    a, b = unary("abs", x), unary("abs", y)
    if is_const(y, 0):
        return a
    large, small = Binary("max", a, b), Binary("min", a, b)
    ratio = where(Binary("eq", large, ZERO), ZERO, div(small, large))
    return mul(large, unary("sqrt", add(ONE, mul(ratio, ratio))))


def angle(x: Expr, y: Expr) -> Expr:
    """Where `x + i y` stands on a circle, from -pi to pi; there is no such operation outside of kernels."""
    return where(Binary("lt", x, ZERO), PI, ZERO) if is_const(y, 0) else Binary("atan2", y, x)


def power(x: Pair, y: Pair) -> Pair:
    """`x ** y` as NumPy has it: a power of zero is zero where the exponent's real part is positive, one where the
    exponent is zero, else no number. Small whole powers are products, the others are taken in polar coordinates."""
    c, d = y
    if isinstance(c, Const) and is_const(d, 0) and c.value in range(-LARGEST_POWER, LARGEST_POWER + 1):
        count = int(c.value.real)
        return _repeated(x if count >= 0 else _inverse(x), abs(count))
    size, turn = magnitude(*x), angle(*x)
    length, phase = Binary("pow", size, c), mul(c, turn)
    zero, no_value = Binary("eq", size, ZERO), binary("lt", c, ZERO)
    if not is_const(d, 0):
        length = mul(length, unary("exp", neg(mul(d, turn))))
        phase = add(phase, where(Binary("or", zero, binary("eq", d, ZERO)), ZERO, mul(d, unary("log", size))))
        no_value = Binary("or", no_value, Binary("and", binary("le", c, ZERO), binary("ne", d, ZERO)))
    parts = mul(length, unary("cos", phase)), mul(length, unary("sin", phase))
    if no_value == FALSE:
        return parts
    lost = Binary("and", zero, no_value)
    return where(lost, NAN, parts[0]), where(lost, NAN, parts[1])


def _repeated(x: Pair, count: int) -> Pair:
    result: Pair = (ONE, ZERO)
    for _ in range(count):
        result = product(result, x)
    return result


def _inverse(x: Pair) -> Pair:
    """`1 / x`, with parts that are made about as large as one before they are squared."""
    large = Binary("max", unary("abs", x[0]), unary("abs", x[1]))
    a, b = div(x[0], large), div(x[1], large)
    size = add(mul(a, a), mul(b, b))
    return div(div(a, size), large), neg(div(div(b, size), large))


def function(op: str, x: Pair) -> Pair:
    """A function of one complex number."""
    a, b = x
    match op:
        case "neg":
            return neg(a), neg(b)
        case "conj":
            return a, neg(b)
        case "exp":
            size = unary("exp", a)
            return mul(size, unary("cos", b)), mul(size, unary("sin", b))
        case "log":  # in derivatives of powers
            return unary("log", magnitude(a, b)), angle(a, b)
        case "sin":
            return mul(unary("sin", a), unary("cosh", b)), mul(unary("cos", a), unary("sinh", b))
        case "cos":
            return mul(unary("cos", a), unary("cosh", b)), neg(mul(unary("sin", a), unary("sinh", b)))
        case "tanh":
            t, s = unary("tanh", a), unary("tan", b)
            size = add(ONE, mul(mul(t, s), mul(t, s)))
            return div(mul(t, add(ONE, mul(s, s))), size), div(mul(s, sub(ONE, mul(t, t))), size)
        case "sqrt":
            return _root(a, b)
        case _:
            raise AssertionError(f"{op} of a complex number")


def _root(a: Expr, b: Expr) -> Pair:
    half = unary("sqrt", mul(Const(0.5), add(magnitude(a, b), unary("abs", a))))
    other = where(Binary("eq", half, ZERO), ZERO, div(unary("abs", b), mul(Const(2), half)))
    right = Binary("ge", a, ZERO)
    side = where(Binary("lt", b, ZERO), Const(-1), ONE)
    return where(right, half, other), mul(side, where(right, other, half))


def combined(op: str, x: Pair, y: Pair) -> Pair:
    """An operation on two numbers of which one at least is complex."""
    match op:
        case "add" | "sub":
            return binary(op, x[0], y[0]), binary(op, x[1], y[1])
        case "mul":
            return product(x, y)
        case "div":
            return quotient(x, y)
        case "pow":
            return power(x, y)
        case _:
            raise AssertionError(f"{op} of complex numbers")
