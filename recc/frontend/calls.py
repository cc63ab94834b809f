"""Calls: the primitives of the language, and `def`s, which are expanded where they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from recc.frontend import arrays, elementary, syntax
from recc.frontend.arguments import Arguments
from recc.frontend.expressions import Expressions
from recc.frontend.functions import expand
from recc.frontend.memory import Memory
from recc.frontend.scope import Definition, Poison, Scope, Stop
from recc.frontend.values import Value
from recc.ir.nodes import Ref, Var
from recc.ir.primitives import EXTREMA, FUNCTIONS, NORMALISATIONS, REDUCTION_FUNCTIONS, UNARY_FUNCTIONS
from recc.passes.adjoint import gradient

if TYPE_CHECKING:
    from recc.frontend.statements import Statements

MAX_LAG = 1_000
LATER = {
    "step": "`where(x > 0, 1, 0)` is a step",
    "bump": "`where(a < x and x < b, 1, 0)` is a bump",
    "larger": "`where(x > y, 1, 0)` compares",
    "ifelse": "`where(condition, x, y)` chooses",
}
SIMPLE: dict[str, Callable[[Arguments], Value]] = {
    "silu": elementary.silu,
    "elu": elementary.elu,
    "gelu": elementary.gelu,
    "gelu_tanh": elementary.gelu_tanh,
    "clamp": elementary.clamp,
    "where": elementary.choice,
    "outer": arrays.outer_product,
    "arange": arrays.arange,
    "eye": arrays.eye,
    "roll": arrays.roll,
    "conv": arrays.conv,
    "solve": arrays.solve,
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
        if node.func.id not in self.scope.defs:
            return self._primitive(node)
        values = self.expand(node)
        if len(values) != 1:
            message = f"`{node.func.id}` returns {len(values)} values where one is needed"
            names = ", ".join("abcdefghij"[: len(values)])
            self.scope.fail("E330", message, node.span, hint=f"`{names} = {node.func.id}(...)` takes them apart")
        return values[0]

    def expand(self, node: syntax.Call) -> tuple[Value, ...]:
        """All values of a `def`'s call."""
        definition = self.scope.defs[node.func.id]
        if not isinstance(definition, Definition):
            raise Stop
        tree, read = definition.tree, self.expressions
        hint = f"`{tree.name}({', '.join(arg.name for arg in tree.args)})`"
        if node.kwargs:
            name = node.kwargs[0][0]
            self.scope.fail("E331", f"`{tree.name}` takes its arguments by position", name.span, hint=hint)
        Arguments(self.scope, read, node).count(len(tree.args), hint=hint)
        args = read.every(lambda arg=arg: read.value(arg) for arg in node.args)
        return expand(self.statements, definition, args, node)

    def _primitive(self, node: syntax.Call) -> Value:
        name = node.func.id
        call = Arguments(self.scope, self.expressions, node)
        if name not in FUNCTIONS:
            self._unknown(node)
        if name in EXTREMA and (len(node.args) > 1 or name not in REDUCTION_FUNCTIONS):
            return elementary.extremum(call)
        if name in REDUCTION_FUNCTIONS:
            return elementary.reduction(call)
        if name in NORMALISATIONS:
            return elementary.normalisation(call)
        if name in UNARY_FUNCTIONS:
            return elementary.apply(call)
        if name in SIMPLE:
            return SIMPLE[name](call)
        return {"prev": self._prev, "hold": self._hold, "grad": self._grad}[name](call)

    def _unknown(self, node: syntax.Call) -> NoReturn:
        scope, name = self.scope, node.func.id
        if name == "fixpoint":
            hint = "`for y in fixpoint(h, tol=1e-6, max=50):`, and below it the equations of `y`"
            scope.fail("E383", "`fixpoint` stands in the head of a loop", node.func.span, hint=hint)
        if name in LATER:
            scope.fail("E333", f"`{name}` is not supported yet", node.func.span, hint=LATER[name])
        if scope.bound.get(name) is Poison:
            raise Stop
        if scope.is_known(name):
            hint = f"`{name} * (...)` multiplies, `{name}[...]` picks a place"
            scope.fail("E332", f"`{name}` is a value, not a function", node.func.span, hint=hint)
        hint = scope.suggest(name, [*FUNCTIONS, *scope.defs]) or "functions are defined with `def`"
        scope.fail("E332", f"unknown function `{name}`", node.func.span, hint=hint)

    # --- what remembers, and gradients ---

    def _prev(self, call: Arguments) -> Value:
        call.count(1, 2)
        given, args = call.keywords("init"), call.node.args
        lag = self.expressions.whole(args[1], "the lag of `prev`", 1, MAX_LAG) if len(args) > 1 else 1
        return self.memory.prev(call.node, lag, given.get("init"))

    def _hold(self, call: Arguments) -> Value:
        call.count(1)
        given = call.keywords("every")
        if "every" not in given:
            message = "`hold` needs `every=`, the number of steps between two readings"
            self.scope.fail("E331", message, call.node.span, hint=f"`hold({call.node.args[0].span.text}, every=16)`")
        every = self.expressions.whole(given["every"], "`every=`", 1)
        return self.memory.hold(call.node, every)

    def _grad(self, call: Arguments) -> Value:
        call.count(2)
        call.keywords()
        scope, (loss_at, wrt) = self.scope, call.node.args
        loss = call.value(0)
        if loss.axes:
            hint = "`sum(...)` or `sumsq(...)` makes a scalar of it"
            scope.fail("E350", f"`grad` needs a scalar loss, but this has {loss.describe()}", loss_at.span, hint=hint)
        target = self._wrt(wrt)
        assert isinstance(target.expr, Ref)
        var = Var(target.expr.name, target.sizes, target.kind == "complex")
        lets, result = gradient(tuple(scope.lets), loss.expr, var, scope.namer)
        if result is None:
            text = wrt.span.text
            hint = f"`grad` follows the value that `{text}` has here: compute the loss after the last assignment to it"
            message = f"the loss does not depend on the present value of `{text}`"
            scope.fail("E352", message, call.node.span, hint=hint)
        scope.lets.extend(lets)
        return Value(result, target.axes)

    def _wrt(self, node: syntax.Expr) -> Value:
        """The value that a gradient is taken by: that of a name."""
        scope = self.scope
        if not isinstance(node, syntax.Name):
            hint = "assign the expression to a name first, and compute the loss from that name"
            scope.fail("E351", "`grad` is taken with respect to a name", node.span, hint=hint)
        target = self.expressions.value(node)
        if not isinstance(target.expr, Ref):
            hint = "take it of an input, a param, a state or a local"
            scope.fail("E351", f"`{node.id}` is a constant, and has no gradient", node.span, hint=hint)
        if len(target.expr.index) < len(target.axes):
            message = f"`{node.id}` was given one value for all of its places, which have no gradients of their own"
            scope.fail(
                "E351", message, node.span, hint=f"give each place its own, as in `{node.id} = x + 0 * {node.id}`"
            )
        return target
