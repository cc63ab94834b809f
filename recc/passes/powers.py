"""`Powers`: a product as a number times powers of expressions that are not products themselves.

Two products that are written in different ways, or pass through definitions, are equal if their powers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from recc.ir.build import ONE, binary, div, is_const, mul
from recc.ir.nodes import Binary, Const, Expr, Let, Ref, Unary
from recc.ir.traverse import canonical, inline

Number = int | float | complex


@dataclass(frozen=True)
class Powers:
    """`number` times the product of every expression to its exponent, which is never zero."""

    number: Number = 1
    exponents: frozenset[tuple[Expr, int]] = frozenset()

    @staticmethod
    def collected(number: Number, pairs: Iterable[tuple[Expr, int]]) -> Powers:
        totals: Counter[Expr] = Counter()
        for expr, exponent in pairs:
            totals[expr] += exponent
        return Powers(number, frozenset((expr, count) for expr, count in totals.items() if count))

    def __mul__(self, other: Powers) -> Powers:
        return Powers.collected(self.number * other.number, [*self.exponents, *other.exponents])

    def __truediv__(self, other: Powers) -> Powers:
        return self * other.inverse

    @property
    def inverse(self) -> Powers:
        return Powers(1 / self.number, frozenset((expr, -count) for expr, count in self.exponents))

    def agrees(self, other: Powers) -> bool:
        """Whether two products are the same but for the rounding of their numbers."""
        return self.exponents == other.exponents and abs(self.number - other.number) <= 1e-14 * abs(other.number)

    def where(self, wanted: Callable[[Expr], bool]) -> Powers:
        """The expressions of which something holds, without the number."""
        return Powers(1, frozenset(item for item in self.exponents if wanted(item[0])))

    def mapped(self, rule: Callable[[Expr], Expr]) -> Powers:
        return Powers.collected(self.number, ((rule(expr), count) for expr, count in self.exponents))

    @property
    def exprs(self) -> tuple[Expr, ...]:
        """The expressions, in an order that depends on nothing but themselves."""
        return tuple(sorted((expr for expr, _ in self.exponents), key=repr))

    @property
    def factors(self) -> tuple[Expr, ...]:
        """The powers, without the number, one by one."""
        ordered = sorted(self.exponents, key=lambda item: repr(item[0]))
        return tuple(Powers(1, frozenset({item})).value for item in ordered)

    @property
    def value(self) -> Expr:
        """The product as an expression, with one division."""
        above, below = _raised(self.exponents, 1), _raised(self.exponents, -1)
        whole = isinstance(self.number, float) and self.number.is_integer()
        number = Const(int(self.number.real) if whole else self.number)
        top = mul(number, above) if not is_const(above, 1) else number
        return div(top, below) if not is_const(below, 1) else top


def _raised(exponents: Iterable[tuple[Expr, int]], sign: int) -> Expr:
    result: Expr = ONE
    for expr, count in sorted(exponents, key=lambda item: repr(item[0])):
        if count * sign > 0:
            power = expr if abs(count) == 1 else binary("pow", expr, Const(abs(count)))
            result = mul(result, power)
    return result


def powers(factors: Iterable[Expr], lets: Mapping[str, Let]) -> Powers:
    """The product of some expressions; definitions that are products themselves are opened."""
    result = Powers()
    for factor in factors:
        result = result * _of(factor, lets)
    return result


def _of(expr: Expr, lets: Mapping[str, Let]) -> Powers:
    match expr:
        case Const(value) if not isinstance(value, bool) and value != 0:
            return Powers(value)
        case Unary("neg", x):
            return Powers(-1) * _of(x, lets)
        case Binary("mul", x, y):
            return _of(x, lets) * _of(y, lets)
        case Binary("div", x, y):
            return _of(x, lets) / _of(y, lets)
        case Binary("pow", x, Const(int() as exponent)) if exponent > 0 and not isinstance(exponent, bool):
            inner = _of(x, lets)
            return Powers.collected(inner.number**exponent, ((e, n * exponent) for e, n in inner.exponents))
        case Ref(name) if name in lets and _is_product(lets[name].expr):
            return _of(inline(expr, {name: lets[name]}), lets)
        case _:
            return Powers(1, frozenset({(canonical(expr), 1)}))


def _is_product(expr: Expr) -> bool:
    match expr:
        case Binary("mul" | "div") | Unary("neg") | Ref() | Const():
            return True
        case Binary("pow", _, Const(int() as exponent)):
            return exponent > 0
        case _:
            return False
