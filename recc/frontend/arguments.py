"""The arguments of one call: how many, of what kind, and which axes they name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recc.frontend import syntax
from recc.frontend.expressions import Expressions
from recc.frontend.scope import Scope
from recc.frontend.values import AxisError, Value, axis_name, is_index
from recc.ir.build import ZERO, binary
from recc.ir.nodes import Arange, Axis, Const
from recc.ir.primitives import NORMALISATIONS, REDUCTION_FUNCTIONS

USAGE = {
    "arange": "arange(L)",
    "clamp": "clamp(x, low, high)",
    "conv": "conv(h, W, axis=X)",
    "eye": "eye(K)",
    "grad": "grad(loss, X)",
    "hold": "hold(x, every=16)",
    "logaddexp": "logaddexp(x, y)",
    "outer": "outer(x, y)",
    "prev": "prev(x)` or `prev(x, 2)",
    "roll": "roll(h, 1, axis=X)",
    "solve": "solve(A, b)",
    "where": "where(condition, x, y)",
}


def usage(name: str) -> str:
    """How a primitive is called, as a hint shows it."""
    other = f"{name}(x, axis=K)" if name in REDUCTION_FUNCTIONS | NORMALISATIONS else f"{name}(x)"
    return f"`{USAGE.get(name, other)}`"


@dataclass(frozen=True)
class Arguments:
    """One call of a primitive while it is read."""

    scope: Scope
    expressions: Expressions
    node: syntax.Call

    @property
    def name(self) -> str:
        return self.node.func.id

    def count(self, least: int, most: int | None = None, hint: str = "") -> None:
        """Refuse another number of positional arguments."""
        given, most = len(self.node.args), least if most is None else most
        if not least <= given <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            plural = "" if expected == "1" else "s"
            message = f"`{self.name}` takes {expected} argument{plural}, not {given}"
            self.scope.fail("E331", message, self.node.span, hint=hint or usage(self.name))

    def keywords(self, *allowed: str) -> dict[str, syntax.Expr]:
        """The arguments that are given by name, which must be among those allowed."""
        given: dict[str, syntax.Expr] = {}
        for name, value in self.node.kwargs:
            if name.id not in allowed:
                hint = f"it takes {', '.join(f'`{word}=`' for word in allowed)}" if allowed else usage(self.name)
                self.scope.fail("E331", f"`{self.name}` has no argument `{name.id}=`", name.span, hint=hint)
            if name.id in given:
                self.scope.fail("E331", f"`{name.id}=` is given twice", name.span, hint="leave one of them out")
            given[name.id] = value
        return given

    def value(self, place: int, *, complex_too: bool = False) -> Value:
        """A positional argument, which must be a number."""
        arg = self.node.args[place]
        check = self.expressions.numeric if complex_too else self.expressions.real
        return check(self.expressions.value(arg), arg, f"`{self.name}`")

    def values(self, count: int, *, complex_too: bool = False) -> list[Value]:
        """That many arguments and no others, all numbers."""
        self.count(count)
        self.keywords()
        return self.every(complex_too=complex_too)

    def every(self, *, complex_too: bool = False) -> list[Value]:
        """All positional arguments, all numbers."""
        places = range(len(self.node.args))
        return self.expressions.every(
            lambda place=place: self.value(place, complex_too=complex_too) for place in places
        )

    def fit(self, build: Callable[[], Value]) -> Value:
        """What `build` makes of the arguments, whose axes must fit."""
        try:
            return build()
        except AxisError as error:
            texts = [arg.span.text for arg in self.node.args[:2]]
            self.scope.fit(error, self.node.span, *texts)

    def named(self, base: str, value: Value) -> Value:
        """A value that is used more than once, under a name."""
        return self.scope.named(base, value, self.node.span)

    # --- axes ---

    def axes(self, x: Value, given: syntax.Expr | None) -> tuple[Axis, ...]:
        """The axes of `x` that `axis=` names; all of them without it."""
        if given is None:
            if any(is_index(axis) for axis in x.axes) and len(x.axes) > 1:
                hint = f"name what is reduced, as in `axis={axis_name(x.axes[-1])}`"
                message = f"`{self.name}` must be told which axis of {x.describe()} it reduces"
                self.scope.fail("E340", message, self.node.span, hint=hint)
            return x.axes
        items = given.items if isinstance(given, syntax.Group) else (given,)
        axes = tuple(self.axis(item, x) for item in items)
        if len(set(axes)) < len(axes):
            self.scope.fail("E340", "an axis is named twice", given.span, hint="name it once")
        return axes

    def axis(self, item: syntax.Expr, x: Value) -> Axis:
        """One axis of a value, by the name of its size, an index, or (an axis of constant size) a number."""
        scope = self.scope
        if isinstance(item, syntax.Name) and item.id in scope.indices:
            if scope.indices[item.id] in x.axes:
                return scope.indices[item.id]
            self._no_axis(item, x, item.id)
        if isinstance(item, syntax.Name):
            size = scope.size_of(item.id)
        elif isinstance(item, syntax.Number) and isinstance(item.value, int):
            size = item.value
        else:
            hint = "`axis=K` or `axis=(K, V)`, as the axes are declared"
            scope.fail("E341", "an axis is named by its size or an index", item.span, hint=hint)
        found = [axis for axis in x.axes if axis.size == size and not is_index(axis)]
        if len(found) == 1:
            return found[0]
        if found:
            hint = "say it with index names, as in `y[i] = sum(U[i, j], axis=j)`"
            scope.fail("E310", f"`axis={size}` would have to guess: the value is {x.describe()}", item.span, hint=hint)
        self._no_axis(item, x, str(size))

    def _no_axis(self, item: syntax.Expr, x: Value, name: str):
        if not x.axes:
            hint = f"leave `{self.name}` out, or give it what has an axis"
            self.scope.fail("E341", f"`{name}` is not an axis of this value, which is a scalar", item.span, hint=hint)
        names = [axis_name(axis) for axis in x.axes]
        hint = self.scope.suggest(name, names) or f"it has {' and '.join(f'`{each}`' for each in dict.fromkeys(names))}"
        self.scope.fail("E341", f"`{name}` is not an axis of this value, which is {x.describe()}", item.span, hint=hint)

    def only_axis(self, x: Value, given: syntax.Expr | None) -> Axis:
        """The one axis that `axis=` names; without it, the only one that there is."""
        axes = x.axes if given is None else self.axes(x, given)
        if len(axes) == 1:
            return axes[0]
        if given is not None:
            self.scope.fail("E340", f"`{self.name}` acts along one axis", given.span, hint="name one of them")
        if not axes:
            hint = f"leave `{self.name}` out, or give it what has an axis"
            self.scope.fail(
                "E340", f"`{self.name}` acts along an axis, but this is a scalar", self.node.span, hint=hint
            )
        names = dict.fromkeys(axis_name(axis) for axis in axes)
        hint = " or ".join(f"`axis={name}`" for name in names)
        message = f"`{self.name}` must be told its axis: the value has {x.describe()}"
        self.scope.fail("E340", message, self.node.span, hint=f"add {hint}")

    def axis_of_size(self) -> Axis:
        """The axis that the only argument is the size of."""
        self.count(1)
        self.keywords()
        arg, scope = self.node.args[0], self.scope
        if isinstance(arg, syntax.Name) and arg.id not in scope.bound:
            size = scope.size_of(arg.id)
            if isinstance(size, int) or size in scope.sizes:
                return Axis(size)
        if isinstance(arg, syntax.Name) and arg.id not in scope.constants:
            hint = scope.suggest(arg.id, scope.sizes) or "a size stands in a declaration, as in `x[K]`, or is a number"
            scope.fail("E342", f"`{self.name}` needs a size, which `{arg.id}` is not", arg.span, hint=hint)
        return Axis(self.expressions.whole(arg, f"the size of `{self.name}`", least=1))


def spread(x: Value, axis: Axis) -> Value:
    """A value whose expression really has the axis, also where it is constant along it."""
    if axis in x.expr.axes:
        return x
    return Value(binary("add", x.expr, binary("mul", ZERO, Arange(axis))), x.axes)


def is_true(node: syntax.Expr | None) -> bool | None:
    """The truth value that is written there; None if it is something else."""
    if isinstance(node, syntax.Name) and node.id in ("True", "False"):
        return node.id == "True"
    return None


ONE, HALF, TWO = Const(1), Const(0.5), Const(2)
