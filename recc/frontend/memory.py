"""What a step remembers beside its declared states: the step number, and what `prev` and `hold` need.

Each is a state of its own (`t`, `prev_x`, `hold_W`), so that a sequence run in two calls equals one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recc.frontend import syntax
from recc.frontend.scope import Barrier, Scope
from recc.frontend.values import Value
from recc.ir.build import ONE, ZERO, binary, where
from recc.ir.nodes import Const, Expr, State, Var

if TYPE_CHECKING:
    from recc.frontend.expressions import Expressions

START = "a start is made of params, constants and sizes"


class Memory:
    """Makes hidden states."""

    def __init__(self, scope: Scope, expressions: Expressions):
        self.scope = scope
        self.expressions = expressions

    def start(self, node: syntax.Expr, where_: str) -> Value:
        """What a state starts from: an expression of params, constants and sizes alone."""
        scope = self.scope
        outside = scope.bound, scope.visible, scope.indices, scope.barrier, len(scope.lets)
        names = frozenset({*scope.bound, *scope.later, scope.clock}) - scope.initial.keys()
        scope.bound, scope.visible, scope.indices = dict(scope.initial), scope.initial, {}
        scope.barrier = Barrier(where_, names, START, is_start=True)
        try:
            value = self.expressions.value(node)
            return Value(scope.inlined(value.expr, node.span), value.axes)
        finally:
            scope.bound, scope.visible, scope.indices, scope.barrier, count = outside
            del scope.lets[count:]

    def clock(self, node: syntax.Expr) -> Value:
        """The number of the step, from 0."""
        name = self.scope.clock
        self._open(node, f"`{name}`")
        if name not in self.scope.hidden:
            var = self._carry(name, (), False, ZERO)
            self.scope.updates[name] = binary("add", var.ref(), ONE)
        return Value(self.scope.hidden[name].var.ref())

    def prev(self, node: syntax.Call, lag: int, init: syntax.Expr | None) -> Value:
        """What a name held at the end of the `lag`-th step before."""
        self._open(node, "`prev`")
        name = self._name(node)
        state = self.scope.states.get(name.id)
        if state is not None and init is not None:
            hint = f"leave `init=` out; a start is declared, as in `state {name.id} = ...`"
            self.scope.fail(
                "E360", f"`{name.id}` is a state: before the first step it is its start", init.span, hint=hint
            )
        if state is not None and lag == 1:
            return Value(state.var.ref(), state.var.axes)
        current = Value(state.var.ref(), state.var.axes) if state is not None else self._held(name)
        start = state.start if state is not None else self._init(init, current)
        first = 2 if state is not None else 1
        source: str | None = None
        for back in range(first, lag + 1):
            own = _prev_name(name.id, back)
            if own not in self.scope.hidden:
                var = self._carry(own, current.sizes, current.kind == "complex", start)
                self._update_from(own, var, name, source, current if state is not None else None)
            elif init is not None and self.scope.hidden[own].start != start:
                message = f"`prev({name.id})` starts from something else in another place"
                self.scope.fail("E360", message, init.span, hint="give both the same `init=`")
            source = own
        var = self.scope.hidden[_prev_name(name.id, lag)].var
        return Value(var.ref(), var.axes)

    def hold(self, node: syntax.Call, every: int) -> Value:
        """What a name was on entry to the latest step whose number is a multiple of `every`."""
        self._open(node, "`hold`")
        name, scope = self._name(node), self.scope
        state = scope.states.get(name.id)
        current = Value(state.var.ref(), state.var.axes) if state is not None else self._held(name)
        key = name.id, every, current.expr
        if key not in scope.held:
            own = f"hold_{name.id}" if f"hold_{name.id}" not in scope.hidden else f"hold_{name.id}_{len(scope.held)}"
            start = state.start if state is not None else ZERO
            var = self._carry(own, current.sizes, current.kind == "complex", start)
            now = binary("eq", binary("mod", self.clock(node).expr, Const(every)), ZERO)
            held = Value(where(now, current.expr, var.ref()), current.axes)
            value = scope.define(own, held, node.span, temporary=True)
            scope.updates[own] = value.expr
            scope.held[key] = value
        return scope.held[key]

    def _open(self, node: syntax.Expr, what: str) -> None:
        """Refuse what only a step has where a start is read."""
        barrier = self.scope.barrier
        if barrier is not None and barrier.is_start:
            self.scope.fail(
                "E305", f"{barrier.where} cannot read {what}: it stands before the first step", node.span, hint=START
            )

    def _name(self, node: syntax.Call) -> syntax.Name:
        scope, arg, what = self.scope, node.args[0], node.func.id
        if not isinstance(arg, syntax.Name):
            scope.fail("E361", f"`{what}` needs a name", arg.span, hint="assign the expression to a name first")
        if scope.expanding and arg.id not in scope.bound:
            scope.lookup(arg)
        if scope.expanding and scope.bound[arg.id] is not scope.visible.get(arg.id):
            hint = f"pass `{what}({arg.id})` to the `def`"
            scope.fail("E361", f"`{arg.id}` belongs to one call of a `def`, and has no past", arg.span, hint=hint)
        return arg

    def _held(self, name: syntax.Name) -> Value:
        """The present value of an input, a param or a local."""
        scope = self.scope
        if (
            name.id not in scope.bound
            and name.id in scope.later
            and scope.barrier is None
            and name.id not in scope.lost
        ):
            message = f"`{name.id}` is read before it is assigned in this step"
            hint = f"a local that depends on its own past is a state: declare `state {name.id}`"
            scope.fail("E362", message, name.span, hint=hint)
        value = self.expressions.value(name)
        if value.kind == "bool":
            self.expressions.needs_number(name, "what is remembered is a number")
        if isinstance(value.expr, Const):
            scope.fail(
                "E361", f"`{name.id}` is a constant, and was the same before", name.span, hint=f"write `{name.id}`"
            )
        return value

    def _init(self, init: syntax.Expr | None, like: Value) -> Expr:
        if init is None:
            return ZERO
        value = self.start(init, "`init=`")
        if value.axes and value.axes != like.axes:
            hint = "or none, as in `init=1`"
            self.scope.fail("E360", f"`init=` must have the axes {like.describe()}", init.span, hint=hint)
        if value.kind == "bool":
            self.expressions.needs_number(init, "`init=` needs a number")
        if value.kind == "complex" and like.kind != "complex":
            self.scope.fail(
                "E323", "`init=` is complex, but what is remembered is real", init.span, hint="take `real(...)` of it"
            )
        return value.expr

    def _carry(self, name: str, sizes: tuple, complex_: bool, start: Expr) -> Var:
        var = Var(self.scope.namer(name), sizes, complex_)
        self.scope.hidden[name] = State(var, start)
        return var

    def _update_from(self, own: str, var: Var, name: syntax.Name, source: str | None, entry: Value | None) -> None:
        """What a hidden state takes over at the end of a step."""
        if source is not None:
            self.scope.updates[own] = self.scope.hidden[source].var.ref()
        elif entry is not None:
            self.scope.updates[own] = entry.expr
        else:
            self.scope.carried[own] = name


def _prev_name(name: str, back: int) -> str:
    return f"prev_{name}" if back == 1 else f"prev_{name}_{back}"
