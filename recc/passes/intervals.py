"""`Intervals`: which values an expression can take, by interval arithmetic over what is promised of inputs and params.

Sizes are taken to be at least 1. What is not known is unbounded; a state may be infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

from recc.ir.nodes import (
    Arange,
    Binary,
    Const,
    Expr,
    Let,
    Promise,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    SizeOf,
    Unary,
    Var,
    Where,
)
from recc.passes.matching import is_instance
from recc.passes.ranges import FINITE, INF, POSITIVE, UNKNOWN, Range

NON_NEGATIVE = Range(0.0, INF, False, False)
UNIT = Range(0.0, 1.0, True, True)
BELOW_ONE = Range(0.0, 1.0, False, True)


class Intervals:
    """The ranges of a recurrence's definitions, computed once, and of any expression over them."""

    def __init__(self, recurrence: Recurrence) -> None:
        self._known: dict[str, Range] = {}
        self._lets: dict[str, Let] = {}
        self._promised: list[tuple[Expr, Range]] = []
        for var in recurrence.inputs + recurrence.params:
            self._known[var.name] = self._declared(var)
        for state in recurrence.states:
            self._known[state.name] = UNKNOWN
        for promise in recurrence.promises:
            self._promise(promise)
        for let in recurrence.lets:
            self._lets[let.name] = let
            self._known[let.name] = self.of(let.expr)

    def _declared(self, var: Var) -> Range:
        """What a variable's declaration says; ends that are no numbers say nothing."""
        if var.interval is None:
            return FINITE
        low, high = var.interval.low, var.interval.high
        opened = var.interval.low_open, var.interval.high_open
        return Range(_number(low, -INF), _number(high, INF), *opened).within(FINITE)

    def _promise(self, promise: Promise) -> None:
        match promise.test:
            case Binary("lt" | "le" as op, x, Const(int() | float() as bound)):
                self._note(x, Range(high=float(bound), high_open=op == "lt"))
            case Binary("gt" | "ge" as op, x, Const(int() | float() as bound)):
                self._note(x, Range(low=float(bound), low_open=op == "gt"))
            case Binary("eq", x, Const(int() | float() as value)):
                self._note(x, Range(float(value), float(value)))

    def _note(self, expr: Expr, known: Range) -> None:
        """Keep what is promised of a value; of a norm, also what it says of the sum of squares."""
        self._promised.append((expr, known))
        match expr:
            case Where(Binary("gt", squares, Const(0)), Unary("sqrt"), Const(0)) if known.non_negative:
                self._promised.append((squares, known.mapped(lambda x: x * x)))

    def of(self, expr: Expr) -> Range:
        """The range of a real expression; everything for complex values and truth values."""
        if expr.kind != "real":
            return UNKNOWN
        found = self._found(expr)
        for pattern, known in self._promised:
            if type(pattern) is type(expr) and is_instance(expr, pattern):
                found = found.within(known)
        return found

    def _found(self, expr: Expr) -> Range:
        match expr:
            case Const(value):
                return Range(float(value), float(value)) if isinstance(value, (int, float)) else UNKNOWN
            case SizeOf():
                return Range(1.0, INF, False, True)
            case Arange():
                return Range(0.0, INF, False, True)
            case Ref(name):
                return self._known.get(name, UNKNOWN)
            case Where(_, x, y):
                return self.of(x).hull(self.of(y))
            case Roll(x):
                return self.of(x)
            case Unary(op, x):
                return self._unary(op, x)
            case Binary(op, x, y):
                return self._binary(op, x, y)
            case Reduce():
                return self._reduce(expr)
            case _:
                return UNKNOWN

    def _unary(self, op: str, x: Expr) -> Range:
        if op == "abs":
            return NON_NEGATIVE if x.kind == "complex" else _abs(self.of(x))
        if x.kind == "complex":
            return UNKNOWN
        inner = self.of(x)
        if op in ("neg", "real", "conj"):
            return -inner if op == "neg" else inner
        if op == "relu":
            return inner.larger(Range(0.0, 0.0))
        if op in _INCREASING:
            return inner.mapped(_INCREASING[op])
        if op in _DOMAIN:
            lowest, function = _DOMAIN[op]
            return inner.within(Range(lowest, INF)).mapped(function) if inner.high >= lowest else UNKNOWN
        return _FIXED.get(op, UNKNOWN)

    def _binary(self, op: str, x: Expr, y: Expr) -> Range:
        first, second = self.of(x), self.of(y)
        match op:
            case "add":
                return self._interpolation(x, y) or self._interpolation(y, x) or first + second
            case "sub":
                return Range(-INF, 0.0) if self._below(x, y) else first + -second
            case "mul":
                found = _abs(first) * _abs(first) if x == y else first * second
                return found.within(BELOW_ONE) if self._absorbed(x, y) or self._absorbed(y, x) else found
            case "div":
                return UNIT if self._share(x, y) else first * second.reciprocal()
            case "max":
                return first.larger(second)
            case "min":
                return -(-first).larger(-second)
            case "pow":
                return _power(first, y, second)
            case "logaddexp":
                return Range(max(first.low, second.low), INF)
            case _:
                return UNKNOWN

    def _reduce(self, expr: Reduce) -> Range:
        inner = self.of(expr.x)
        match expr.op:
            case "max" | "min":
                return inner
            case "logsumexp":
                return Range(inner.low, INF)
            case "sum" if inner.non_negative:
                return Range(inner.low, INF, inner.low_open)
            case "sum" if inner.high <= 0:
                return Range(-INF, inner.high, False, inner.high_open)
            case _:
                return UNKNOWN

    def _opened(self, expr: Expr) -> Expr:
        """What a name stands for, where it is read as it was defined."""
        while isinstance(expr, Ref) and expr.name in self._lets and self._lets[expr.name].axes == expr.index:
            if set(self._lets[expr.name].expr.axes) != set(expr.index):
                return expr
            expr = self._lets[expr.name].expr
        return expr

    def _same(self, x: Expr, y: Expr) -> bool:
        return x == y or self._opened(x) == self._opened(y)

    def _below(self, x: Expr, y: Expr) -> bool:
        """Whether `y` is the larger of `x` and something else, so that `x - y` is never positive."""
        match self._opened(y):
            case Binary("max" | "logaddexp", one, other):
                return self._same(x, one) or self._same(x, other)
            case _:
                return False

    def _share(self, x: Expr, y: Expr) -> bool:
        """Whether `x / y` is one positive part of a sum of positive parts."""
        match self._opened(y):
            case Binary("add", one, other) if self._same(x, one) or self._same(x, other):
                return all(part.positive and part.within(FINITE) == part for part in map(self.of, (one, other)))
            case _:
                return False

    def _absorbed(self, quotient: Expr, part: Expr) -> bool:
        """Whether `b / (1 + b * s) * part` is an implicit step: `b` not negative, `part` in the sum of squares `s`."""
        match self._opened(quotient):
            case Binary("div", b, below):
                match self._opened(below):
                    case Binary("add", Const(1), step) | Binary("add", step, Const(1)):
                        return self.of(b).non_negative and self._is_product(step, b, part)
        return False

    def _is_product(self, expr: Expr, b: Expr, part: Expr) -> bool:
        """Whether a value is `b` times `part` itself, or times a sum of positive values of which `part` is one."""
        match self._opened(expr):
            case Binary("mul", one, other):
                wholes = [whole for x, whole in ((one, other), (other, one)) if self._same(x, b)]
                return self.of(part).non_negative and any(self._is_part(part, whole) for whole in wholes)
            case _:
                return False

    def _is_part(self, part: Expr, whole: Expr) -> bool:
        whole = self._opened(whole)
        if is_instance(self._opened(part), whole, free=()):
            return True
        match whole:
            case Reduce("sum", x, over) if self.of(x).non_negative:
                return any(is_instance(item, x, over) for item in (part, self._opened(part)))
            case _:
                return False

    def _interpolation(self, x: Expr, rest: Expr) -> Range | None:
        """`x + (1 - x) * y` is `1 - (1 - x) * (1 - y)`, whose range is narrower: a gate with a lower bound."""
        match self._opened(rest):
            case Binary("mul", one, other):
                for gate, y in ((one, other), (other, one)):
                    match self._opened(gate):
                        case Binary("sub", Const(1), inner) if self._same(inner, x):
                            whole = Range(1.0, 1.0)
                            return whole + -((whole + -self.of(x)) * (whole + -self.of(y)))
        return None


def _number(expr: Expr | None, unknown: float) -> float:
    return float(expr.value) if isinstance(expr, Const) and isinstance(expr.value, (int, float)) else unknown


def _abs(x: Range) -> Range:
    if x.low >= 0:
        return x
    return -x if x.high <= 0 else Range(0.0, x.larger(-x).high, False, x.larger(-x).high_open)


def _power(base: Range, exponent: Expr, known: Range) -> Range:
    """A constant power: even, of something that is not negative, or nothing is known."""
    if not isinstance(exponent, Const) or not isinstance(exponent.value, (int, float)):
        finite = all(part.within(FINITE) == part for part in (base, known))
        return (POSITIVE if finite else NON_NEGATIVE) if base.positive else UNKNOWN
    power = exponent.value
    if float(power).is_integer() and int(power) % 2 == 0:
        base = _abs(base)
    if power > 0 and base.non_negative:
        return base.mapped(lambda x: _guarded(lambda y: y**power, x))
    if power < 0 and base.positive:
        return base.mapped(lambda x: _guarded(lambda y: y**-power, x)).reciprocal()
    return UNKNOWN


def _guarded(function: Callable[[float], float], x: float) -> float:
    try:
        return function(x)
    except OverflowError:
        return INF


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


_INCREASING: dict[str, Callable[[float], float]] = {
    "exp": lambda x: _guarded(math.exp, x),
    "expm1": lambda x: _guarded(math.expm1, x),
    "tanh": math.tanh,
    "atan": math.atan,
    "erf": math.erf,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
    "logsigmoid": lambda x: -_softplus(-x),
    "sinh": lambda x: math.copysign(_guarded(math.sinh, abs(x)), x),
}
_DOMAIN: dict[str, tuple[float, Callable[[float], float]]] = {
    "log": (0.0, lambda x: math.log(x) if x > 0 else -INF),
    "log1p": (-1.0, lambda x: math.log1p(x) if x > -1 else -INF),
    "sqrt": (0.0, math.sqrt),
}
_FIXED = {
    "cosh": Range(1.0, INF),
    "sin": Range(-1.0, 1.0),
    "cos": Range(-1.0, 1.0),
    "sign": Range(-1.0, 1.0),
    "ctz": NON_NEGATIVE,
}
