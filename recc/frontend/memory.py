"""What a step remembers beside its declared states: the step number, and what `prev` and `hold` need.

Each is a state of its own (`t`, `prev_x`, `hold_W`), so that a sequence run in two calls equals one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recc.frontend import syntax
from recc.frontend.scope import Scope
from recc.frontend.values import Value
from recc.ir.build import ONE, ZERO, binary, where
from recc.ir.nodes import Const, Expr, State, Var

if TYPE_CHECKING:
    from recc.frontend.expressions import Expressions


class Memory:
    """Makes hidden states."""

    def __init__(self, scope: Scope, expressions: Expressions):
        self.scope = scope
        self.expressions = expressions

    def clock(self) -> Value:
        """The number of the step, from 0."""
        name = self.scope.clock
        if name not in self.scope.hidden:
            var = self._carry(name, (), False, ZERO)
            self.scope.updates[name] = binary("add", var.ref(), ONE)
        return Value(self.scope.hidden[name].var.ref())

    def prev(self, node: syntax.Call, lag: int, init: syntax.Expr | None) -> Value:
        """What a name held at the end of the `lag`-th step before."""
        name = self._name(node)
        state = self.scope.states.get(name.id)
        if state is not None and init is not None:
            self.scope.fail("E360", f"`{name.id}` is a state: before the first step it is its start", init.span)
        if state is not None and lag == 1:
            return Value(state.var.ref(), state.var.axes)
        current = Value(state.var.ref(), state.var.axes) if state is not None else self._held(name)
        start = state.start if state is not None else self._start(init, current)
        first = 2 if state is not None else 1
        source: str | None = None
        for back in range(first, lag + 1):
            own = self._prev_name(name.id, back)
            if own not in self.scope.hidden:
                var = self._carry(own, current.sizes, current.kind == "complex", start)
                self._update_from(var, name.id, source, current if state is not None else None)
            elif init is not None and self.scope.hidden[own].start != start:
                self.scope.fail("E360", f"`prev({name.id})` has another `init=` elsewhere", init.span)
            source = own
        var = self.scope.hidden[self._prev_name(name.id, lag)].var
        return Value(var.ref(), var.axes)

    def hold(self, node: syntax.Call, every: int) -> Value:
        """What a name was on entry to the latest step whose number is a multiple of `every`."""
        name = self._name(node)
        state = self.scope.states.get(name.id)
        current = Value(state.var.ref(), state.var.axes) if state is not None else self._held(name)
        own = f"hold_{name.id}" if every == self._held_every(name.id, every) else f"hold_{name.id}_{every}"
        if own not in self.scope.hidden:
            start = state.start if state is not None else ZERO
            self._carry(own, current.sizes, current.kind == "complex", start)
        var = self.scope.hidden[own].var
        now = binary("eq", binary("mod", self.clock().expr, Const(every)), ZERO)
        value = self.scope.define(own, Value(where(now, current.expr, var.ref()), current.axes), node.span)
        self.scope.updates[own] = value.expr
        return value

    def _held_every(self, name: str, every: int) -> int:
        """The period that `hold_name` stands for: that of the first use."""
        return self.scope.periods.setdefault(name, every)

    @staticmethod
    def _prev_name(name: str, back: int) -> str:
        return f"prev_{name}" if back == 1 else f"prev_{name}_{back}"

    def _name(self, node: syntax.Call) -> syntax.Name:
        arg = node.args[0]
        if not isinstance(arg, syntax.Name):
            hint = "assign the expression to a name first"
            self.scope.fail("E361", f"`{node.func.id}` needs a name", arg.span, hint=hint)
        return arg

    def _held(self, name: syntax.Name) -> Value:
        """The present value of an input, a param or a local."""
        if name.id not in self.scope.bound and name.id in self.scope.later:
            message = f"`{name.id}` is read before it is assigned in this step: a local that depends on the past must be a state"
            self.scope.fail("E362", message, name.span, hint=f"declare it: `state {name.id}`")
        return self.expressions.value(name)

    def _start(self, init: syntax.Expr | None, like: Value) -> Expr:
        if init is None:
            return ZERO
        value = self.expressions.value(init)
        if value.axes and set(value.axes) != set(like.axes):
            self.scope.fail("E360", f"`init=` must have the axes {like.describe()} or none", init.span)
        return value.expr

    def _carry(self, name: str, sizes: tuple, complex_: bool, start: Expr) -> Var:
        own = self.scope.namer(name)
        var = Var(own, sizes, complex_)
        self.scope.hidden[name] = State(var, start)
        return var

    def _update_from(self, var: Var, name: str, source: str | None, entry: Value | None) -> None:
        """What a hidden state takes over at the end of a step."""
        if source is not None:
            self.scope.updates[self._key(var)] = self.scope.hidden[source].var.ref()
        elif entry is not None:
            self.scope.updates[self._key(var)] = entry.expr
        else:
            self.scope.carried[self._key(var)] = name

    def _key(self, var: Var) -> str:
        return next(key for key, state in self.scope.hidden.items() if state.var is var)
