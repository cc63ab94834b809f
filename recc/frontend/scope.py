"""What names mean while a recurrence is read, and how findings are reported."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import NoReturn

from recc.diagnostics import Findings, Span
from recc.frontend import syntax
from recc.frontend.values import AxisError, Value
from recc.ir.nodes import Axis, Expr, Let, Ref, State, Var, formal
from recc.ir.traverse import define
from recc.passes.tidy import Namer


class Stop(Exception):
    """The statement cannot be read any further; what is wrong has been reported already."""


class Poison:
    """Bound to a name whose definition was bad, so that its uses are not reported again."""


@dataclass
class Scope:
    """The state of reading one recurrence.

    `bound` says what each name holds at the present place; `carried` names the value that a hidden state (what `prev`
    needs) takes at the end of the step, `updates` the new value of a hidden state where it is known already."""

    findings: Findings
    constants: dict[str, int | float] = field(default_factory=dict)
    sizes: dict[str, Span] = field(default_factory=dict)
    declared: dict[str, Var] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    bound: dict[str, Value | type[Poison]] = field(default_factory=dict)
    defs: dict[str, syntax.Def] = field(default_factory=dict)
    indices: dict[str, Axis] = field(default_factory=dict)
    renamed: dict[str, str | int] = field(default_factory=dict)
    lets: list[Let] = field(default_factory=list)
    hidden: dict[str, State] = field(default_factory=dict)
    updates: dict[str, Expr] = field(default_factory=dict)
    carried: dict[str, str] = field(default_factory=dict)
    periods: dict[str, int] = field(default_factory=dict)
    visible: dict[str, Value] = field(default_factory=dict)
    later: set[str] = field(default_factory=set)
    expanding: list[str] = field(default_factory=list)
    namer: Namer = field(default_factory=Namer)
    clock: str = "t"

    def fail(self, code: str, message: str, span: Span, *, label: str = "", hint: str = "", note: str = "") -> NoReturn:
        """Report a finding and give up the present statement."""
        self.report(code, message, span, label=label, hint=hint, note=note)
        raise Stop

    def report(self, code: str, message: str, span: Span, *, label: str = "", hint: str = "", note: str = "") -> None:
        self.findings.add(code, message, span, label, (note,) if note else (), (hint,) if hint else ())

    def fit(self, error: AxisError, span: Span) -> NoReturn:
        self.fail(error.code, error.message, span, hint=error.hint)

    def define(self, base: str, value: Value, span: Span, *, sizes: tuple | None = None, temporary: bool = False) -> Value:
        """Make a definition of a value, over its own axes or (`sizes`) over declared ones in their order."""
        axes = value.axes if sizes is None else self._declared_order(value, sizes)
        let = define(self.namer(base), value.expr, axes=axes, temporary=temporary)
        let = Let(let.name, let.axes, let.expr, temporary, span=span)
        self.lets.append(let)
        return Value(Ref(let.name, let.axes, let.kind, span=span), let.axes)

    @staticmethod
    def _declared_order(value: Value, sizes: tuple) -> tuple[Axis, ...]:
        """The value's axes in the order of the declared sizes; declared axes that a scalar lacks are added."""
        if not value.axes:
            return formal(sizes)
        left = list(value.axes)
        order = []
        for size in sizes:
            axis = next(axis for axis in left if axis.size == size)
            left.remove(axis)
            order.append(axis)
        return tuple(order)

    def lookup(self, name: syntax.Name) -> Value:
        """The value of a name where it stands."""
        found = self.bound.get(name.id)
        if found is Poison:
            raise Stop
        if isinstance(found, Value):
            return found
        if name.id in self.later:
            self.fail("E305", f"`{name.id}` is read before it is assigned", name.span, hint="what it held a step ago is `prev(...)`")
        self.fail("E301", f"unknown name `{name.id}`", name.span, hint=self.suggest(name.id, self.known_names()))

    def known_names(self) -> list[str]:
        return [*self.bound, *self.constants, *self.sizes, *self.indices]

    @staticmethod
    def suggest(name: str, known: list[str]) -> str:
        close = difflib.get_close_matches(name, known, 1, 0.6)
        return f"did you mean `{close[0]}`?" if close else ""
