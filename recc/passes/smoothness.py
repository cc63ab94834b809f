"""`Smoothness`: what kind of function of the carried states a nonlinear value is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from recc.ir.build import binary, is_const, unary
from recc.ir.nodes import (
    COMPARISONS,
    LOGICAL,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.ir.traverse import canonical, rewrite

Form = Literal["constant", "affine", "polynomial", "rational", "general"]
Pieces = Literal["smooth", "kinked", "jumping"]
FORMS: tuple[Form, ...] = get_args(Form)
PIECES: tuple[Pieces, ...] = get_args(Pieces)
LINEAR = ("neg", "real", "imag", "conj")
THROUGH_ZERO = ("relu", "abs", "expm1", "log1p", "sqrt", "tanh", "sin", "tan", "sinh", "atan", "erf")
STEPS = ("sign", "floor", "ceil", "round", "ctz", "not")


@dataclass(frozen=True)
class Kind:
    """The form of a function, of each of its pieces where it has several, and how these meet: not at all ("smooth"),
    with a kink in the slope, or with a jump in the value. Poles and ends of domains (`log`, `sqrt`) do not count."""

    form: Form = "constant"
    pieces: Pieces = "smooth"

    @property
    def continuous(self) -> bool:
        return self.pieces != "jumping"

    @property
    def text(self) -> str:
        """For example "piecewise affine, discontinuous"."""
        form = {"general": "nonlinear", "constant": "constant"}.get(self.form, self.form)
        if self.pieces == "smooth":
            return form
        whole = "nonlinear with kinks" if self.form == "general" else f"piecewise {form}"
        if self.pieces == "kinked":
            return whole
        return "nonlinear, discontinuous" if self.form == "general" else f"{whole}, discontinuous"

    def __or__(self, other: Kind) -> Kind:
        form = max(FORMS.index(self.form), FORMS.index(other.form))
        return Kind(FORMS[form], PIECES[max(PIECES.index(self.pieces), PIECES.index(other.pieces))])

    def at_least(self, form: Form = "constant", pieces: Pieces = "smooth") -> Kind:
        return self if self == CONSTANT else self | Kind(form, pieces)


CONSTANT = Kind()


class Smoothness:
    """The kinds of a recurrence's definitions, as functions of some carried states on entry."""

    def __init__(self, recurrence: Recurrence, carried: Iterable[str]) -> None:
        self._known = {name: Kind("affine") for name in carried}
        self._lets = {let.name: let for let in recurrence.lets}
        for let in recurrence.lets:
            self._known[let.name] = self.of(let.expr)

    def of(self, expr: Expr) -> Kind:
        """The kind of an expression: `relu(a * h + b)` is affine with a kink, `h / (1 + h * h)` rational."""
        match expr:
            case Ref(name):
                return self._known.get(name, CONSTANT)
            case Unary(op, x):
                return self._unary(op, x)
            case Binary(op, x, y):
                return self._binary(op, x, y)
            case Where(test, x, y):
                return self._choice(test, x, y)
            case Reduce(op, x):
                inner = self.of(x)
                if op == "sum":
                    return inner
                return inner.at_least("general") if op == "logsumexp" else inner.at_least(pieces="kinked")
            case Roll(x) | Window(x) | Fold(x):
                return self.of(x)
            case Solve(matrix, rhs):
                return self.of(rhs) | self.of(matrix).at_least("rational")
            case Fixpoint():
                return self._fixpoint(expr)
            case _:
                return CONSTANT

    def _fixpoint(self, expr: Fixpoint) -> Kind:
        """The solution of an equation that is affine in the unknown and in what is carried is affine."""
        moving = [let.name for let in expr.given if self.of(let.expr) != CONSTANT]
        if not moving:
            return CONSTANT
        step = Smoothness(Recurrence("step", lets=expr.lets), (expr.unknown.name, *moving)).of(expr.result)
        reached = step
        for let in expr.given:
            reached = reached | self.of(let.expr)
        return reached if step == Kind("affine") else reached.at_least("general")

    def _unary(self, op: str, x: Expr) -> Kind:
        inner = self.of(x)
        if op in LINEAR:
            return inner
        if op == "relu" or (op == "abs" and x.kind != "complex"):
            return inner.at_least(pieces="kinked")
        if op in STEPS:
            return inner.at_least("affine", "jumping")
        return inner.at_least("general")

    def _binary(self, op: str, x: Expr, y: Expr) -> Kind:
        first, second = self.of(x), self.of(y)
        both = first | second
        match op:
            case "add" | "sub":
                return both
            case "max" | "min":
                return both.at_least(pieces="kinked")
            case "mul":
                return self._product(x, y)
            case "div":
                return both if second == CONSTANT else both.at_least("rational")
            case "pow":
                return _power(first, second, y)
            case "mod" | "floordiv":
                return both.at_least(pieces="jumping")
            case _ if op in COMPARISONS or op in LOGICAL:
                return both.at_least(pieces="jumping")
            case _:
                return both.at_least("general")

    def _product(self, x: Expr, y: Expr) -> Kind:
        first, second = self.of(x), self.of(y)
        both = first | second if CONSTANT in (first, second) else (first | second).at_least("polynomial")
        for jump, other in ((x, y), (y, x)):
            match self._opened(jump):
                case Unary("sign", inner) if is_const(_at(self._opened(other), inner, Const(0)), 0):
                    return (self.of(inner) | self.of(other) | Kind(both.form)).at_least(pieces="kinked")
        return both

    def _choice(self, test: Expr, x: Expr, y: Expr) -> Kind:
        x, y = _taken(x, test, True), _taken(y, test, False)
        sides = self.of(x) | self.of(y)
        if self.of(test) == CONSTANT:
            return sides
        return (sides | Kind("affine")) | Kind(pieces="kinked" if self._meets(test, x, y) else "jumping")

    def _meets(self, test: Expr, x: Expr, y: Expr) -> bool:
        """Whether both sides of a choice are the same number where the two sides of its comparison are equal."""
        match self._opened(test):
            case Binary("lt" | "le" | "gt" | "ge", value, Const() as edge):
                first, second = (_at(self._opened(side), value, edge) for side in (x, y))
                return isinstance(first, Const) and first == second
            case _:
                return False

    def _opened(self, expr: Expr) -> Expr:
        """What a name stands for, where it is read as it was defined."""
        while isinstance(expr, Ref) and expr.name in self._lets and self._lets[expr.name].axes == expr.index:
            expr = self._lets[expr.name].expr
        return expr


def _taken(expr: Expr, test: Expr, holds: bool) -> Expr:
    """An expression where a condition is known to hold, or not to."""
    known = canonical(test)

    def rule(node: Expr) -> Expr:
        if isinstance(node, Where) and canonical(node.test) == known:
            return node.x if holds else node.y
        return node

    return rewrite(expr, rule)


def _at(expr: Expr, value: Expr, edge: Const) -> Expr:
    """An expression with a number in place of a value, folded."""
    wanted = canonical(value)

    def rule(node: Expr) -> Expr:
        if type(node) is type(wanted) and canonical(node) == wanted:
            return edge
        match node:
            case Unary(op, x) if isinstance(x, Const):
                return x if op in THROUGH_ZERO and is_const(x, 0) else unary(op, x)
            case Binary(op, x, y):
                product = op == "mul" and (is_const(x, 0) or is_const(y, 0))
                return Const(0) if product else binary(op, x, y)
            case _:
                return node

    return rewrite(expr, rule)


def _power(base: Kind, exponent: Kind, power: Expr) -> Kind:
    whole = isinstance(power, Const) and isinstance(power.value, (int, float)) and float(power.value).is_integer()
    if exponent != CONSTANT or not whole:
        return (base | exponent).at_least("general")
    assert isinstance(power, Const) and isinstance(power.value, (int, float))
    if power.value in (0, 1):
        return base if power.value else CONSTANT
    return base.at_least("polynomial" if power.value > 0 else "rational")
