"""Random expressions over given axes, of moderate size: what drives, gates and tests are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Interval, Let, Reduce, Ref, SizeOf, Unary, Var, Where
from recc.ir.traverse import canonical, define, fresh_axis

OPEN_UNIT = Interval(Const(0), Const(1), True, True)
NOT_POSITIVE = Interval(None, Const(0))
ZERO, ONE = Const(0), Const(1)

Item = TypeVar("Item")


def add(x: Expr, y: Expr) -> Expr:
    return Binary("add", x, y)


def sub(x: Expr, y: Expr) -> Expr:
    return Binary("sub", x, y)


def mul(x: Expr, y: Expr) -> Expr:
    return Binary("mul", x, y)


class Expressions:
    """Draws expressions, and declares the inputs and params that they need.

    They read declared names and what is in `finished`: names that are known at this place of the step."""

    def __init__(self, rng: np.random.Generator, complex_values: bool):
        self.rng = rng
        self.complex_values = complex_values
        self.inputs: list[Var] = []
        self.params: list[Var] = []
        self.lets: list[Let] = []
        self.finished: list[Var | Let] = []

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Item]) -> Item:
        return options[int(self.rng.integers(len(options)))]

    def some(self, axes: tuple[Axis, ...], probability: float = 0.6) -> tuple[Axis, ...]:
        return tuple(axis for axis in axes if self.chance(probability))

    def declare(
        self, prefix: str, axes: tuple[Axis, ...], interval: Interval | None = None, param: bool = False
    ) -> Expr:
        """A new input or param over the given axes, read at these axes; some axes may stand in another order."""
        order = tuple(self.rng.permutation(len(axes))) if self.chance(0.3) else tuple(range(len(axes)))
        places = tuple(axes[int(place)] for place in order)
        group = self.params if param else self.inputs
        var = Var(f"{prefix}{len(self.inputs) + len(self.params)}", tuple(a.size for a in places), interval=interval)
        group.append(var)
        return Ref(var.name, places)

    def symbolic_sizes(self) -> tuple[str, ...]:
        """The sizes that an input or a param has."""
        sizes = dict.fromkeys(size for var in self.inputs + self.params for size in var.sizes)
        return tuple(size for size in sizes if isinstance(size, str))

    def defined(self, name: str, expr: Expr, axes: tuple[Axis, ...] = ()) -> Let:
        """Give an expression a name over `axes`, some of which it may lack."""
        missing = tuple(axis for axis in axes if axis not in expr.axes)
        let = Let(name, axes, canonical(expr)) if missing else define(name, expr, axes=axes)
        self.lets.append(let)
        return let

    def leaf(self, axes: tuple[Axis, ...]) -> Expr:
        """A number, a position, or a declared name with its places filled by axes, bound axes and fixed places."""
        names = self.inputs + self.params + self.finished
        if not names or self.chance(0.1):
            return self.constant(axes)
        var = self.pick(names)
        kind = var.kind
        if kind == "bool":
            return self.constant(axes)
        index: list[Axis | int] = []
        bound: list[Axis] = []
        for own in var.axes:
            matching = [axis for axis in axes if axis.size == own.size]
            if matching and self.chance(0.85):
                index.append(self.pick(matching))
            elif self.chance(0.3):
                index.append(0)
            else:
                bound.append(fresh_axis(own))
                index.append(bound[-1])
        ref = Ref(var.name, tuple(index), kind)
        return self.reduced(ref, tuple(bound)) if bound else ref

    def constant(self, axes: tuple[Axis, ...]) -> Expr:
        symbolic = [axis.size for axis in axes if isinstance(axis.size, str)]
        options: list[Expr] = [Const(1), Const(0.5), Const(-0.25)]
        if axes:
            options.append(mul(Const(0.25), Arange(self.pick(axes))))
        if symbolic:
            options.append(Binary("pow", SizeOf(self.pick(symbolic)), Const(-0.5)))
        if self.complex_values:
            options.append(Const(0.5j))
        return self.pick(options)

    def reduced(self, expr: Expr, bound: tuple[Axis, ...]) -> Expr:
        ops = ("sum",) if expr.kind == "complex" else ("sum", "sum", "max", "min", "logsumexp")
        return Reduce(self.pick(ops), expr, bound)

    def real(self, axes: tuple[Axis, ...], depth: int = 2) -> Expr:
        """A real value of moderate size over some of the axes."""
        expr = self.value(axes, depth)
        if expr.kind == "complex":
            return Unary(self.pick(("real", "imag", "abs")), expr)
        return expr

    def value(self, axes: tuple[Axis, ...], depth: int = 2) -> Expr:
        """A real or complex value of moderate size over some of the axes."""
        if depth == 0 or self.chance(0.2):
            return self.leaf(self.some(axes, 0.8))
        kind = self.rng.random()
        if kind < 0.35:
            return self.function(self.value(axes, depth - 1))
        if kind < 0.75:
            return self.combined(self.value(axes, depth - 1), self.value(axes, depth - 1))
        if kind < 0.87:
            return Where(self.test(axes, depth - 1), self.value(axes, depth - 1), self.value(axes, depth - 1))
        return self.contraction(axes, depth)

    def contraction(self, axes: tuple[Axis, ...], depth: int) -> Expr:
        bound = fresh_axis(Axis(self.pick((2, *self.symbolic_sizes()))))
        inner = mul(self.leaf((*axes, bound)), self.leaf((*axes, bound)))
        if bound not in inner.axes:
            inner = mul(inner, self.declare("c", (bound,), param=self.chance(0.5)))
        return mul(Const(0.5), self.reduced(inner, (bound,)))

    def function(self, x: Expr) -> Expr:
        """One operation, kept away from overflow and from the borders of its domain."""
        if x.kind == "complex":
            small = Binary("div", x, add(ONE, Unary("abs", x)))
            return self.pick(
                (
                    Unary("conj", x),
                    Unary("neg", x),
                    Unary("real", x),
                    Unary("imag", x),
                    Unary("abs", x),
                    *(Unary(op, small) for op in ("exp", "sin", "cos", "tanh")),
                )
            )
        square = mul(x, x)
        plain = ("neg", "tanh", "sigmoid", "sin", "cos", "softplus", "logsigmoid", "erf", "atan", "relu", "abs", "relu")
        options: list[Expr] = [Unary(op, x) for op in plain]
        options += [Unary(op, Unary("tanh", x)) for op in ("exp", "expm1", "sinh", "cosh", "tan")]
        options += [Unary(op, add(ONE, square)) for op in ("log", "sqrt")]
        options += [Unary("log1p", square), Binary("pow", Unary("tanh", x), Const(self.pick((2, 3))))]
        options += [Unary(op, mul(Const(3), x)) for op in ("sign", "floor", "ceil", "round")]
        options += [Binary("mod", x, Const(2)), Binary("floordiv", x, Const(0.5))]
        return self.pick(options)

    def combined(self, x: Expr, y: Expr) -> Expr:
        if "complex" in (x.kind, y.kind):
            return self.pick((add(x, y), Binary("sub", x, y), mul(x, y), Binary("div", x, add(ONE, Unary("abs", y)))))
        options: list[Expr] = [
            Binary(op, x, y) for op in ("add", "add", "sub", "max", "min", "logaddexp", "mul", "mul")
        ]
        options += [Binary("div", x, add(ONE, mul(y, y))), Binary("pow", add(ONE, mul(x, x)), Unary("tanh", y))]
        return self.pick(options)

    def test(self, axes: tuple[Axis, ...], depth: int = 1) -> Expr:
        order = Binary(self.pick(("lt", "le", "gt", "ge")), self.real(axes, depth), self.real(axes, 0))
        if self.chance(0.2):
            return Unary("not", order)
        if self.chance(0.2):
            places = [axis for axis in axes if isinstance(axis.size, str)]
            other = Binary("eq", Arange(self.pick(places)), ONE) if places else Const(False)
            return Binary(self.pick(("and", "or")), order, other)
        return order

    def gate(self, axes: tuple[Axis, ...]) -> Expr:
        """A real value in (0, 1), over some of the axes."""
        over = self.some(axes)
        param = self.chance(0.3)
        return self.pick(
            (
                lambda: self.declare("a", over, OPEN_UNIT, param),
                lambda: Unary("exp", self.declare("g", over, NOT_POSITIVE, param)),
                lambda: Unary("sigmoid", self.real(axes, 1)),
                lambda: Unary("exp", Unary("neg", Unary("softplus", self.real(axes, 1)))),
                lambda: Const(0.75),
            )
        )()

    def coefficient(self, axes: tuple[Axis, ...]) -> Expr:
        """A value in (-1, 1), sometimes complex and inside of the unit circle."""
        if self.complex_values and self.chance(0.3):
            return mul(self.gate(axes), Unary("exp", mul(Const(1j), self.real(axes, 1))))
        options: tuple[Callable[[], Expr], ...] = (
            lambda: self.gate(axes),
            lambda: Unary("tanh", self.real(axes, 1)),
            lambda: Unary("neg", self.gate(axes)),
            lambda: Binary("sub", ONE, self.gate(axes)),
        )
        return self.pick(options)()

    def drive(self, axes: tuple[Axis, ...]) -> Expr:
        """What enters a state from outside; bounded."""
        if len(axes) > 1 and self.chance(0.5):
            return mul(self.declare("k", axes[:1]), self.declare("v", axes[1:]))
        return self.damped(self.value(axes, 2))

    def damped(self, expr: Expr) -> Expr:
        if expr.kind == "complex":
            return Binary("div", expr, add(ONE, Unary("abs", expr)))
        return Unary(self.pick(("tanh", "sin", "atan")), expr)
