"""What names mean while a recurrence is read, and how findings are reported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from recc.diagnostics import Findings, Span
from recc.frontend import syntax
from recc.frontend.values import AxisError, Value
from recc.ir.nodes import Axis, Const, Expr, Let, Ref, Size, SizeOf, State, Var, formal
from recc.ir.traverse import define, inline, names, nodes, substitute
from recc.passes.tidy import Namer

MAX_STATEMENTS = 4_000
MAX_NODES = 300


class Stop(Exception):
    """The statement cannot be read any further; what is wrong has been reported already."""


class Poison:
    """Bound to a name whose definition was bad, so that its uses are not reported again."""


@dataclass(frozen=True)
class Definition:
    """A `def`, and the functions that its own file gives it."""

    tree: syntax.Def
    functions: dict[str, Definition | type[Poison]] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Barrier:
    """Where some names cannot be read although they exist: in the start of a state, in the body of a `def`."""

    where: str
    names: frozenset[str]
    hint: str
    is_start: bool = False


@dataclass
class Scope:
    """The state of reading one recurrence.

    `bound` says what each name holds at the present place, `visible` what a `def` sees (inputs and params), `initial`
    what a start sees (params). `carried` names the value that a hidden state (what `prev` needs) takes at the end of
    the step, `updates` the new value of a hidden state where it is known already. `later` are the names that the step
    assigns somewhere, `lost` those that one branch alone has assigned, `inside` those of the bodies of fixed points;
    `solving` is the unknown of the fixed point whose body is read."""

    findings: Findings
    constants: dict[str, int | float] = field(default_factory=dict)
    sizes: dict[str, Span] = field(default_factory=dict)
    declared: dict[str, Var] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    bound: dict[str, Value | type[Poison]] = field(default_factory=dict)
    defs: dict[str, Definition | type[Poison]] = field(default_factory=dict)
    indices: dict[str, Axis] = field(default_factory=dict)
    renamed: dict[str, Size] = field(default_factory=dict)
    lets: list[Let] = field(default_factory=list)
    hidden: dict[str, State] = field(default_factory=dict)
    updates: dict[str, Expr] = field(default_factory=dict)
    carried: dict[str, syntax.Name] = field(default_factory=dict)
    held: dict[tuple[str, int, Expr], Value] = field(default_factory=dict)
    initial: dict[str, Value | type[Poison]] = field(default_factory=dict)
    visible: dict[str, Value | type[Poison]] = field(default_factory=dict)
    later: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    inside: set[str] = field(default_factory=set)
    solving: str = ""
    expanding: list[syntax.Def] = field(default_factory=list)
    barrier: Barrier | None = None
    namer: Namer = field(default_factory=Namer)
    clock: str = "t"
    statements: int = 0
    errors: int = 0

    # --- findings ---

    def fail(self, code: str, message: str, span: Span, *, label: str = "", hint: str = "", note: str = "") -> NoReturn:
        """Report a finding and give up the present statement. Raises: Stop."""
        self.report(code, message, span, label=label, hint=hint, note=note)
        raise Stop

    def report(self, code: str, message: str, span: Span, *, label: str = "", hint: str = "", note: str = "") -> None:
        """Report a finding and go on."""
        self.errors += 1
        self.findings.add(code, message, span, label, (note,) if note else (), (hint,) if hint else ())

    def fit(self, error: AxisError, span: Span, x: str = "x", y: str = "y") -> NoReturn:
        """Report axes that do not fit; `x` and `y` are how the two sides are written. Raises: Stop."""
        short = len(x) + len(y) < 60
        hint = error.hint.replace("{x}", x if short else "x").replace("{y}", y if short else "y")
        self.fail(error.code, error.message, span, hint=hint)

    def count_statement(self, span: Span) -> None:
        """Loops and functions are written out; a step that grows without bound is refused. Raises: Stop."""
        self.statements += 1
        if self.statements == MAX_STATEMENTS:
            message = f"with its loops and functions written out, this step has {MAX_STATEMENTS:,} equations or more"
            self.report(
                "E382", message, span, hint="say it with axes: an equation holds for all places of an axis at once"
            )
        if self.statements >= MAX_STATEMENTS:
            raise Stop

    # --- names ---

    def define(
        self, base: str, value: Value, span: Span, *, sizes: tuple[Size, ...] | None = None, temporary: bool = False
    ) -> Value:
        """Make a definition of a value; its axes are the value's own, or (`sizes`) declared ones in their order.

        The definition itself has only those axes that the value differs along: a number stays a number."""
        axes = value.axes if sizes is None else declared_order(value, sizes)
        present = tuple(axis for axis in axes if axis in value.expr.axes)
        let = define(self.namer(base), value.expr, axes=present, temporary=temporary)
        let = Let(let.name, let.axes, let.expr, temporary, span=span)
        self.lets.append(let)
        own = dict(zip(axes, formal(tuple(axis.size for axis in axes)), strict=True))
        return Value(Ref(let.name, tuple(own[axis] for axis in present), let.kind, span=span), tuple(own.values()))

    def named(self, base: str, value: Value, span: Span) -> Value:
        """A value that is read more than once, under a name, with the axes that it has here."""
        if isinstance(value.expr, (Const, Ref, SizeOf)):
            return value
        whole = self.define(base, value, span, temporary=True)
        return Value(substitute(whole.expr, dict(zip(whole.axes, value.axes, strict=True))), value.axes)

    def extent(self, size: Size) -> Size:
        """A size as a number, if it is known when compiling."""
        return int(self.constants[size]) if isinstance(size, str) and size in self.constants else size

    def lookup(self, name: syntax.Name) -> Value:
        """The value of a name where it stands. Raises: Stop if it has none, or none that is good."""
        found = self.bound.get(name.id)
        if found is Poison:
            raise Stop
        if isinstance(found, Value):
            return found
        if self.barrier is not None and name.id in self.barrier.names:
            self.fail("E305", f"{self.barrier.where} cannot read `{name.id}`", name.span, hint=self.barrier.hint)
        if name.id in self.lost:
            hint = f"assign `{name.id}` above the `if` too, or in every branch"
            self.fail("E305", f"`{name.id}` is known only inside of the branch that assigns it", name.span, hint=hint)
        if name.id in self.inside:
            hint = "a fixed point leaves its unknown alone; compute the rest from it after the loop"
            message = f"`{name.id}` is known only inside of the fixed point that assigns it"
            self.fail("E305", message, name.span, hint=hint)
        if name.id in self.later:
            hint = f"move its equation up; what it held a step ago is `prev({name.id})`"
            self.fail("E305", f"`{name.id}` is read before it is assigned", name.span, hint=hint)
        hint = self.suggest(name.id, self.known_names())
        hint = hint or "declare it as an input, a param, a state or a constant, or assign it above"
        self.fail("E301", f"unknown name `{name.id}`", name.span, hint=hint)

    def inlined(self, expr: Expr, span: Span) -> Expr:
        """An expression in terms of inputs, params and states alone, for what stands outside of the equations."""
        lets = {let.name: let for let in self.lets}
        while any(name in lets for name in names(expr)):
            expr = inline(expr, lets)
            if sum(1 for _ in nodes(expr)) > MAX_NODES:
                self.fail("E382", "with its names written out, this is too long", span, hint="make it shorter")
        return expr

    def forget(self, assigned: Iterable[str]) -> None:
        """What a bad statement assigns: a declared name keeps its axes, any other is not spoken about again."""
        for name in assigned:
            var = self.declared.get(name)
            if var is None:
                self.bound[name] = Poison
            elif not isinstance(self.bound.get(name), Value):
                self.bound[name] = Value(var.ref(), var.axes)

    def size_of(self, name: str) -> Size:
        """The size that a name stands for here: in a `def`, that of the argument's axis."""
        return self.renamed.get(name, name)

    def is_known(self, name: str) -> bool:
        """Whether a name means something already, so that it cannot be a new index or a counter."""
        return name in self.bound or name in self.constants or name in self.sizes or name in self.renamed

    def known_names(self) -> list[str]:
        return [*self.bound, *self.constants, *self.sizes, *self.indices]

    @staticmethod
    def suggest(name: str, known: Iterable[str]) -> str:
        """A hint with the known name that is most like a misspelt one, or nothing."""
        others = [other for other in known if other != name]
        folded = {other.lower(): other for other in others}
        close = difflib.get_close_matches(name, others, 1, 0.6) if len(name) < 100 else []
        if not close and name.lower() in folded:
            close = [folded[name.lower()]]
        return f"did you mean `{close[0]}`?" if close else ""


def declared_order(value: Value, sizes: tuple[Size, ...]) -> tuple[Axis, ...]:
    """The value's axes in the order of declared sizes; declared axes that a scalar lacks are added."""
    if not value.axes:
        return formal(sizes)
    left = list(value.axes)
    order = []
    for size in sizes:
        axis = next(axis for axis in left if axis.size == size)
        left.remove(axis)
        order.append(axis)
    return tuple(order)
