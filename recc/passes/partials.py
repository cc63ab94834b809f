"""Partial derivatives of the elementwise operations, as expressions: one rule each, used by every derivative pass."""

from __future__ import annotations

import math

from recc.ir.build import MINUS_INFINITY, ONE, add, binary, div, mul, neg, sub, unary, where
from recc.ir.nodes import Binary, Const, Expr, Fold, Roll, Unary, Window
from recc.ir.primitives import PIECEWISE_CONSTANT

HALF, TWO, ZERO = Const(0.5), Const(2), Const(0)


def unary_partial(op: str, x: Expr, y: Expr) -> Expr | None:
    """d y / d x of `y = op(x)`; None where it is zero everywhere.

    `real`, `imag`, `conj` and the `abs` of a complex value have no complex derivative and no rule here."""
    if op in PIECEWISE_CONSTANT:
        return None
    return _UNARY[op](x, y)


_UNARY = {
    "neg": lambda x, y: Const(-1),
    "exp": lambda x, y: y,
    "log": lambda x, y: div(ONE, x),
    "log1p": lambda x, y: div(ONE, add(ONE, x)),
    "expm1": lambda x, y: add(y, ONE),
    "sqrt": lambda x, y: div(HALF, y),
    "sin": lambda x, y: unary("cos", x),
    "cos": lambda x, y: neg(unary("sin", x)),
    "tan": lambda x, y: add(ONE, mul(y, y)),
    "tanh": lambda x, y: sub(ONE, mul(y, y)),
    "sinh": lambda x, y: unary("cosh", x),
    "cosh": lambda x, y: unary("sinh", x),
    "atan": lambda x, y: div(ONE, add(ONE, mul(x, x))),
    "erf": lambda x, y: mul(Const(2 / math.sqrt(math.pi)), unary("exp", neg(mul(x, x)))),
    "sigmoid": lambda x, y: mul(y, sub(ONE, y)),
    "logsigmoid": lambda x, y: unary("sigmoid", neg(x)),
    "softplus": lambda x, y: unary("sigmoid", x),
    "relu": lambda x, y: where(binary("gt", x, ZERO), ONE, ZERO),
    "abs": lambda x, y: unary("sign", x),
}


def binary_partials(op: str, x: Expr, y: Expr, out: Expr) -> tuple[Expr | None, Expr | None]:
    """The derivatives of `out = op(x, y)` with respect to both; None where zero everywhere."""
    match op:
        case "add":
            return ONE, ONE
        case "sub":
            return ONE, Const(-1)
        case "mul":
            return y, x
        case "div":
            return div(ONE, y), neg(div(out, y))
        case "pow":
            return _power_partials(x, y, out)
        case "mod":
            return ONE, neg(binary("floordiv", x, y))
        case "max":
            return _extremum_weight("gt", x, y), _extremum_weight("gt", y, x)
        case "min":
            return _extremum_weight("lt", x, y), _extremum_weight("lt", y, x)
        case "logaddexp":
            return softmax_weight(x, out), softmax_weight(y, out)
        case _:
            return None, None


def _power_partials(x: Expr, y: Expr, out: Expr) -> tuple[Expr | None, Expr | None]:
    lower = binary("pow", x, binary("sub", y, ONE))
    if isinstance(y, Const):
        return mul(y, lower), None
    to_base = where(binary("eq", y, ZERO), ZERO, mul(y, lower))
    return to_base, mul(out, _logarithm(x, out.kind == "complex"))


def _logarithm(x: Expr, of_complex: bool) -> Expr:
    """The principal logarithm of a power's base; zero where it has none, as no power of zero changes with its
    exponent."""
    if x.kind == "complex":
        return unary("log", where(binary("ne", unary("abs", x), ZERO), x, ONE))
    if not of_complex:
        return unary("log", where(binary("gt", x, ZERO), x, ONE))
    size = unary("log", where(binary("ne", x, ZERO), unary("abs", x), ONE))
    return add(size, mul(where(binary("lt", x, ZERO), Const(math.pi), ZERO), Const(1j)))


def _extremum_weight(wins: str, x: Expr, y: Expr) -> Expr:
    """1 where `x` wins over `y`, one half at a tie, 0 at a tie of infinities that stand for nothing."""
    tie: Expr = binary("eq", x, y)
    if not any(isinstance(side, Const) and math.isfinite(abs(side.value)) for side in (x, y)):
        empty = MINUS_INFINITY if wins == "gt" else Const(math.inf)
        tie = Binary("and", tie, binary("ne", x, empty))
    return where(binary(wins, x, y), ONE, where(tie, HALF, ZERO))


def softmax_weight(x: Expr, out: Expr) -> Expr:
    """exp(x - out): the share of `x` in the log-sum-exp `out`; zero if there is nothing to share."""
    return where(binary("eq", out, MINUS_INFINITY), ZERO, unary("exp", sub(x, out)))


def extremum_share(x: Expr, out: Expr, op: str) -> Expr:
    """1 where an element of a reduction attains its extremum (and is not the infinity of an empty one), else 0."""
    empty = MINUS_INFINITY if op == "max" else Const(math.inf)
    return where(Binary("and", binary("eq", x, out), binary("ne", out, empty)), ONE, ZERO)


def is_linear(node: Expr) -> bool:
    """Whether a zero cotangent stays zero whatever the values are: no infinity can turn it into NaN."""
    match node:
        case Unary(op):
            return op in ("neg", "real", "imag", "conj")
        case Binary(op):
            return op in ("add", "sub")
        case _:
            return isinstance(node, (Roll, Window, Fold))
