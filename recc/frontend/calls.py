"""Calls: the primitives of the language, and `def`s, which are expanded where they are called."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from recc.frontend import syntax
from recc.frontend.expressions import Expressions
from recc.frontend.memory import Memory
from recc.frontend.scope import Scope
from recc.frontend.values import AxisError, Value, axis_name, elementwise, in_place, is_index, outer, positional, reduced
from recc.ir.build import binary, equal_positions, unary, where
from recc.ir.nodes import Arange, Axis, Const, Expr, Ref, Roll, Solve, Var, Window
from recc.ir.primitives import (
    COMPLEX_UNARY,
    EXTREMA,
    FUNCTIONS,
    NORMALISATIONS,
    REDUCTION_FUNCTIONS,
    UNARY_FUNCTIONS,
)
from recc.ir.traverse import fresh_axis, substitute
from recc.passes.adjoint import gradient

if TYPE_CHECKING:
    from recc.frontend.statements import Statements

ONE, ZERO, HALF, TWO = Const(1), Const(0), Const(0.5), Const(2)
FUTURE = {
    "step": "LSRL programs",
    "bump": "LSRL programs",
    "larger": "LSRL programs",
    "ifelse": "LSRL programs",
    "fixpoint": "implicit steps",
}


class Calls:
    """Reads calls in a scope."""

    def __init__(self, scope: Scope, expressions: Expressions):
        self.scope = scope
        self.expressions = expressions
        self.memory = Memory(scope, expressions)
        self.statements: Statements  # set by the reader of statements, which both need

    def call(self, node: syntax.Call) -> Value:
        """The one value of a call."""
        if node.func.id in self.scope.defs:
            values = self.expand(node)
            if len(values) != 1:
                message = f"`{node.func.id}` returns {len(values)} values where one is needed"
                self.scope.fail("E330", message, node.span, hint=f"`a, b = {node.func.id}(...)` takes them apart")
            return values[0]
        return self._primitive(node)

    def expand(self, node: syntax.Call) -> tuple[Value, ...]:
        """All values of a `def`'s call."""
        definition = self.scope.defs[node.func.id]
        if node.kwargs:
            self.scope.fail("E331", f"`{definition.name}` takes its arguments by position", node.kwargs[0][0].span)
        self._count(node, len(definition.args), len(definition.args))
        return self.statements.expand(definition, tuple(self.expressions.value(arg) for arg in node.args), node)

    def _primitive(self, node: syntax.Call) -> Value:
        name = node.func.id
        if name not in FUNCTIONS:
            if name in FUTURE:
                self.scope.fail("E333", f"`{name}` ({FUTURE[name]}) is not supported yet", node.func.span)
            hint = self.scope.suggest(name, [*FUNCTIONS, *self.scope.defs]) or "functions are defined with `def`"
            self.scope.fail("E332", f"unknown function `{name}`", node.func.span, hint=hint)
        if name in EXTREMA and len(node.args) > 1:
            return self._extremum(node)
        if name in REDUCTION_FUNCTIONS:
            return self._reduction(node)
        if name in NORMALISATIONS:
            return self._normalisation(node)
        if name in UNARY_FUNCTIONS:
            return self._unary(node)
        return getattr(self, f"_{name}")(node)

    # --- arguments ---

    def _count(self, node: syntax.Call, least: int, most: int) -> None:
        given = len(node.args)
        if not least <= given <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            plural = "" if expected == "1" else "s"
            self.scope.fail("E331", f"`{node.func.id}` takes {expected} argument{plural}, not {given}", node.span)

    def _keywords(self, node: syntax.Call, *allowed: str) -> dict[str, syntax.Expr]:
        given = {}
        for name, value in node.kwargs:
            if name.id not in allowed:
                hint = f"it takes {', '.join(f'`{word}=`' for word in allowed)}" if allowed else "it takes none"
                self.scope.fail("E331", f"`{node.func.id}` has no argument `{name.id}=`", name.span, hint=hint)
            if name.id in given:
                self.scope.fail("E331", f"`{name.id}=` is given twice", name.span)
            given[name.id] = value
        return given

    def _argument(self, node: syntax.Call, place: int, *, complex_too: bool = False) -> Value:
        arg = node.args[place]
        value = self.expressions.value(arg)
        check = self.expressions.numeric if complex_too else self.expressions.real
        return check(value, arg, f"`{node.func.id}`")

    def _fit(self, node: syntax.Expr, build: Callable[[], Value]) -> Value:
        try:
            return build()
        except AxisError as error:
            self.scope.fit(error, node.span)

    # --- axes named by keyword ---

    def _axes(self, node: syntax.Call, x: Value, given: syntax.Expr | None) -> tuple[Axis, ...]:
        """The axes of `x` that `axis=` names; all of them without it."""
        if given is None:
            if any(is_index(axis) for axis in x.axes) and len(x.axes) > 1:
                axes = x.describe()
                hint = "name what is reduced, as in `axis=j`"
                self.scope.fail("E340", f"`{node.func.id}` must be told which axis of {axes} it reduces", node.span, hint=hint)
            return x.axes
        items = given.items if isinstance(given, syntax.Group) else (given,)
        axes = tuple(self.axis(item, x) for item in items)
        if len(set(axes)) < len(axes):
            self.scope.fail("E340", "an axis is named twice", given.span)
        return axes

    def axis(self, item: syntax.Expr, x: Value) -> Axis:
        """One axis of a value, by the name of its size, an index, or (an axis of constant size) a number."""
        scope = self.scope
        if isinstance(item, syntax.Name) and item.id in scope.indices:
            if scope.indices[item.id] in x.axes:
                return scope.indices[item.id]
            scope.fail("E341", f"`{item.id}` is not an axis of this value, which is {x.describe()}", item.span)
        if isinstance(item, syntax.Name):
            size = scope.renamed.get(item.id, item.id)
        elif isinstance(item, syntax.Number) and isinstance(item.value, int):
            size = item.value
        else:
            scope.fail("E341", "an axis is named by its size or an index", item.span)
        found = [axis for axis in x.axes if axis.size == size and not is_index(axis)]
        if len(found) == 1:
            return found[0]
        if found:
            hint = "say it with index names, as in `y[i] = sum(U[i, j], axis=j)`"
            scope.fail("E310", f"`axis={size}` would have to guess: the value is {x.describe()}", item.span, hint=hint)
        hint = scope.suggest(str(size), [axis_name(axis) for axis in x.axes])
        scope.fail("E341", f"`{size}` is not an axis of this value, which is {x.describe()}", item.span, hint=hint)

    def _only_axis(self, node: syntax.Call, x: Value, given: syntax.Expr | None) -> Axis:
        if given is not None:
            axes = self._axes(node, x, given)
            if len(axes) > 1:
                self.scope.fail("E340", f"`{node.func.id}` acts along one axis", given.span)
            return axes[0]
        if len(x.axes) != 1:
            what = f"has {x.describe()}" if x.axes else "is a scalar"
            self.scope.fail("E340", f"`{node.func.id}` must be told its axis: the value {what}", node.span, hint="`axis=K`")
        return x.axes[0]

    # --- families ---

    def _unary(self, node: syntax.Call) -> Value:
        self._count(node, 1, 1)
        self._keywords(node)
        name = node.func.id
        x = self._argument(node, 0, complex_too=name in COMPLEX_UNARY)
        if name == "imag" and x.kind != "complex":
            return Value(binary("mul", ZERO, x.expr), x.axes)
        return Value(unary(name, x.expr, span=node.span), x.axes)

    def _extremum(self, node: syntax.Call) -> Value:
        self._keywords(node)
        result = self._argument(node, 0)
        for place in range(1, len(node.args)):
            other = self._argument(node, place)
            left = result
            result = self._fit(node, lambda: elementwise(node.func.id, left, other, node.span, f"`{node.func.id}`"))  # noqa: B023
        return result

    def _reduction(self, node: syntax.Call) -> Value:
        self._count(node, 1, 1)
        given = self._keywords(node, "axis")
        name = node.func.id
        x = self._argument(node, 0, complex_too=name in ("sum", "mean", "norm", "sumsq"))
        over = self._axes(node, x, given.get("axis"))
        match name:
            case "mean":
                return positional(self._mean(x, over, node))
            case "sumsq":
                return self._sumsq(x, over, node)
            case "norm":
                square = self._named("squares", self._sumsq(x, over, node), node)
                return Value(_safe_root(square.expr), square.axes)
            case _:
                return reduced(name, x, over, node.span)

    def _named(self, base: str, value: Value, node: syntax.Expr) -> Value:
        """A value that is used more than once; under index names it stays as it is."""
        if any(is_index(axis) for axis in value.axes):
            return value
        return self.scope.define(base, value, node.span, temporary=True)

    def _mean(self, x: Value, over: tuple[Axis, ...], node: syntax.Expr) -> Value:
        """The mean, with the names that the other axes have in `x`."""
        summed = in_place("sum", x, over, node.span)
        count = in_place("sum", Value(ONE, over), over, node.span)
        return Value(binary("div", summed.expr, count.expr, span=node.span), summed.axes)

    def _sumsq(self, x: Value, over: tuple[Axis, ...], node: syntax.Expr) -> Value:
        if x.kind == "complex":
            square = unary("real", binary("mul", x.expr, unary("conj", x.expr)))
        else:
            square = binary("pow", x.expr, TWO)
        return reduced("sum", Value(square, x.axes), over, node.span)

    def _normalisation(self, node: syntax.Call) -> Value:
        name = node.func.id
        takes_eps = name != "softmax"
        self._count(node, 1, 2 if takes_eps else 1)
        given = self._keywords(node, "axis", *(["eps"] if takes_eps else []))
        x = self._argument(node, 0)
        axis = self._only_axis(node, x, given.get("axis"))
        if name == "softmax":
            lse = in_place("logsumexp", x, (axis,), node.span)
            return Value(unary("exp", binary("sub", x.expr, lse.expr), span=node.span), x.axes)
        eps_at = node.args[1] if len(node.args) > 1 else given.get("eps")
        default = {"layernorm": 1e-5, "rmsnorm": 1e-6, "l2norm": 1e-12}[name]
        eps = Const(default) if eps_at is None else Const(self.expressions.number(eps_at, "`eps`"))
        if name == "layernorm":
            centred = binary("sub", x.expr, self._mean(x, (axis,), node).expr)
            x = self._named("centred", Value(centred, x.axes), node)
            axis = self._only_axis(node, x, given.get("axis"))
        square = Value(binary("pow", x.expr, TWO), x.axes)
        if name == "l2norm":
            size = _safe_root(in_place("sum", square, (axis,), node.span).expr)
            scale = binary("max", size, eps)
        else:
            scale = unary("sqrt", binary("add", self._mean(square, (axis,), node).expr, eps))
        return Value(binary("div", x.expr, scale, span=node.span), x.axes)

    # --- single functions ---

    def _silu(self, node: syntax.Call) -> Value:
        x = self._plain(node)
        return Value(binary("mul", x.expr, unary("sigmoid", x.expr), span=node.span), x.axes)

    def _elu(self, node: syntax.Call) -> Value:
        x = self._plain(node)
        return Value(where(binary("gt", x.expr, ZERO), x.expr, unary("expm1", x.expr), span=node.span), x.axes)

    def _gelu(self, node: syntax.Call) -> Value:
        x = self._plain(node)
        half = binary("mul", HALF, x.expr)
        share = binary("add", ONE, unary("erf", binary("mul", Const(math.sqrt(0.5)), x.expr)))
        return Value(binary("mul", half, share, span=node.span), x.axes)

    def _gelu_tanh(self, node: syntax.Call) -> Value:
        x = self._plain(node)
        cubic = binary("add", x.expr, binary("mul", Const(0.044715), binary("pow", x.expr, Const(3))))
        share = binary("add", ONE, unary("tanh", binary("mul", Const(math.sqrt(2 / math.pi)), cubic)))
        return Value(binary("mul", binary("mul", HALF, x.expr), share, span=node.span), x.axes)

    def _plain(self, node: syntax.Call) -> Value:
        self._count(node, 1, 1)
        self._keywords(node)
        return self._argument(node, 0)

    def _clamp(self, node: syntax.Call) -> Value:
        self._count(node, 3, 3)
        self._keywords(node)
        x, low, high = (self._argument(node, place) for place in range(3))
        raised = self._fit(node, lambda: elementwise("max", x, low, node.span, "`clamp`"))
        return self._fit(node, lambda: elementwise("min", raised, high, node.span, "`clamp`"))

    def _outer(self, node: syntax.Call) -> Value:
        self._count(node, 2, 2)
        self._keywords(node)
        x, y = self._argument(node, 0, complex_too=True), self._argument(node, 1, complex_too=True)
        return self._fit(node, lambda: outer(x, y, node.span))

    def _where(self, node: syntax.Call) -> Value:
        self._count(node, 3, 3)
        self._keywords(node)
        test = self.expressions.condition(node.args[0], "`where`")
        x, y = self.expressions.value(node.args[1]), self.expressions.value(node.args[2])
        return self.choose(test, x, y, node)

    def choose(self, test: Value, x: Value, y: Value, node: syntax.Node) -> Value:
        """`x` where the condition holds, else `y`, axes matched by name."""
        if (x.kind == "bool") != (y.kind == "bool"):
            self.scope.fail("E321", "one side is a condition and the other a number", node.span)
        try:
            sides = elementwise("eq", x, y, node.span, "`where`")
            axes = elementwise("eq", sides, test, node.span, "`where`").axes
        except AxisError as error:
            self.scope.fit(error, node.span)
        return Value(where(test.expr, x.expr, y.expr, span=node.span), axes)

    def _arange(self, node: syntax.Call) -> Value:
        axis = self._axis_of_size(node)
        return Value(Arange(axis, span=node.span), (axis,))

    def _eye(self, node: syntax.Call) -> Value:
        axis = self._axis_of_size(node)
        other = Axis(axis.size, 1)
        return Value(where(equal_positions(axis, other), ONE, ZERO, span=node.span), (axis, other))

    def _axis_of_size(self, node: syntax.Call) -> Axis:
        self._count(node, 1, 1)
        self._keywords(node)
        arg = node.args[0]
        if isinstance(arg, syntax.Name):
            size = self.scope.renamed.get(arg.id, arg.id)
            if isinstance(size, int) or size in self.scope.sizes:
                return Axis(size)
        if isinstance(arg, syntax.Name) and arg.id not in self.scope.constants:
            hint = self.scope.suggest(arg.id, list(self.scope.sizes))
            self.scope.fail("E342", f"`{node.func.id}` needs a size, which `{arg.id}` is not", arg.span, hint=hint)
        number = self.expressions.whole(arg, f"the size of `{node.func.id}`", least=1)
        return Axis(number)

    def _roll(self, node: syntax.Call) -> Value:
        self._count(node, 2, 2)
        given = self._keywords(node, "axis")
        x = self._argument(node, 0, complex_too=True)
        shift = self.expressions.number(node.args[1], "the number of places of `roll`")
        axis = self._only_axis(node, x, given.get("axis"))
        x = self._spread(x, axis)
        return Value(Roll(x.expr, axis, int(shift), span=node.span), x.axes)

    def _spread(self, x: Value, axis: Axis) -> Value:
        """A value whose expression really has the axis."""
        if axis in x.expr.axes:
            return x
        return Value(binary("add", x.expr, binary("mul", ZERO, Arange(axis))), x.axes)

    def _conv(self, node: syntax.Call) -> Value:
        self._count(node, 2, 2)
        given = self._keywords(node, "axis", "wrap")
        x, weight = self._argument(node, 0), self._argument(node, 1)
        wrap = given.get("wrap")
        if wrap is not None and not (isinstance(wrap, syntax.Name) and wrap.id in ("True", "False")):
            self.scope.fail("E331", "`wrap=` is True or False", wrap.span)
        axis = self._only_axis(node, x, given.get("axis"))
        if len(weight.axes) != 3:
            self.scope.fail("E343", f"`conv` needs weights `W[out, in, tap]`, not {weight.describe()}", node.args[1].span)
        out, inner, tap = (fresh_axis(a) for a in weight.axes)
        channel = [a for a in x.axes if a.size == inner.size and a != axis]
        if len(channel) != 1:
            message = f"`conv` contracts the weights' second axis `{inner.size}`, but the value has {x.describe()}"
            self.scope.fail("E343", message, node.span)
        window = Window(self._spread(x, axis).expr, axis, tap, isinstance(wrap, syntax.Name) and wrap.id == "True")
        taken = substitute(window, {channel[0]: inner})
        product = binary("mul", taken, substitute(weight.expr, dict(zip(weight.axes, (out, inner, tap), strict=True))))
        axes = tuple(out if a == channel[0] else a for a in x.axes)
        return reduced("sum", Value(product, (*axes, inner, tap)), (inner, tap), node.span)

    def _solve(self, node: syntax.Call) -> Value:
        self._count(node, 2, 2)
        self._keywords(node)
        matrix, rhs = self._argument(node, 0, complex_too=True), self._argument(node, 1, complex_too=True)
        if len(matrix.axes) < 2:
            self.scope.fail("E344", f"`solve` needs a matrix, not {matrix.describe()}", node.args[0].span)
        row, col = fresh_axis(matrix.axes[-2]), fresh_axis(matrix.axes[-1])
        places = [a for a in rhs.axes if a.size == row.size]
        if not places:
            self.scope.fail("E344", f"`solve` needs a right side with the axis `{row.size}`", node.args[1].span)
        left = substitute(matrix.expr, {matrix.axes[-2]: row, matrix.axes[-1]: col})
        right = substitute(self._spread(rhs, places[0]).expr, {places[0]: row})
        axes = tuple(col if a == places[0] else a for a in rhs.axes)
        return positional(Value(Solve(left, right, row, col, span=node.span), axes))

    def _prev(self, node: syntax.Call) -> Value:
        self._count(node, 1, 2)
        given = self._keywords(node, "init")
        lag = self.expressions.whole(node.args[1], "the lag of `prev`", least=1) if len(node.args) > 1 else 1
        return self.memory.prev(node, lag, given.get("init"))

    def _hold(self, node: syntax.Call) -> Value:
        self._count(node, 1, 1)
        given = self._keywords(node, "every")
        if "every" not in given:
            self.scope.fail("E331", "`hold` needs `every=`, the number of steps between two readings", node.span)
        every = self.expressions.whole(given["every"], "`every=`", least=1)
        return self.memory.hold(node, every)

    def _grad(self, node: syntax.Call) -> Value:
        self._count(node, 2, 2)
        self._keywords(node)
        scope = self.scope
        loss, wrt = self._argument(node, 0), node.args[1]
        if loss.axes:
            hint = "`sum(...)` or `sumsq(...)` makes a scalar of it"
            scope.fail("E350", f"`grad` needs a scalar loss, but this has {loss.describe()}", node.args[0].span, hint=hint)
        if not isinstance(wrt, syntax.Name):
            scope.fail("E351", "`grad` is taken with respect to a name", wrt.span, hint="assign the expression to a name first")
        target = scope.lookup(wrt)
        if not isinstance(target.expr, Ref):
            scope.fail("E351", f"`{wrt.id}` is a constant here", wrt.span)
        var = Var(target.expr.name, target.sizes, target.kind == "complex")
        lets, result = gradient(tuple(scope.lets), loss.expr, var, scope.namer)
        if result is None:
            hint = f"`grad` follows the value that `{wrt.id}` has here; compute the loss after the last assignment to it"
            message = f"the loss does not depend on the present value of `{wrt.id}`"
            scope.fail("E352", message, node.span, hint=hint)
        scope.lets.extend(lets)
        return Value(result, target.axes)


def _safe_root(square: Expr) -> Expr:
    """A square root whose derivative at zero is zero: the root is not taken there."""
    positive = binary("gt", square, ZERO)
    return where(positive, unary("sqrt", where(positive, square, ONE)), ZERO)
