"""From the syntax tree to the IR: declarations, the step, and what a recurrence must have."""

from __future__ import annotations

from pathlib import Path

from recc.diagnostics import Findings, SpecError
from recc.frontend import syntax
from recc.frontend.parse import parse_file
from recc.frontend.scope import Poison, Scope, Stop
from recc.frontend.statements import Statements, assigned
from recc.frontend.values import Value
from recc.ir.nodes import (

    Const,
    Expr,
    Interval,
    Output,
    Promise,
    Recurrence,

    State,
    Var,
    formal,
)
from recc.ir.traverse import canonical, inline, names, substitute
from recc.passes.tidy import tidy

Number = int | float


def resolve(
    tree: syntax.Recurrence,
    file: syntax.File,
    constants: dict[str, Number] | None = None,
    findings: Findings | None = None,
) -> Recurrence:
    """The recurrence that a syntax tree means, with compile-time constants replaced by the given ones.

    Warnings are added to `findings`. Raises: SpecError with everything that is wrong."""
    findings = Findings() if findings is None else findings
    scope = Scope(findings)
    try:
        recurrence = Resolver(tree, file, scope).run(dict(constants or {}))
    except Stop:
        recurrence = None
    findings.raise_if_any()
    assert recurrence is not None, "a stop without a finding"
    return tidy(recurrence)


class Resolver:
    """Reads one recurrence in a scope."""

    def __init__(self, tree: syntax.Recurrence, file: syntax.File, scope: Scope):
        self.tree = tree
        self.file = file
        self.scope = scope
        self.statements = Statements(scope)
        self.inputs: list[Var] = []
        self.params: list[Var] = []
        self.outputs: dict[str, syntax.Declare] = {}
        self.promises: list[Promise] = []

    def run(self, overrides: dict[str, Number]) -> Recurrence | None:
        self._coordinates()
        self._constants(overrides)
        declarations = [item for item in self.tree.body if isinstance(item, syntax.Declare)]
        self._declare([item for item in declarations if item.kind != "output"])
        for item in declarations:
            if item.kind == "output":
                self._declare_output(item)
        self._functions()
        self._starts([item for item in declarations if item.kind == "state"])
        self._body()
        self._complete()
        return None if self.scope.findings.has_errors else self._recurrence()

    # --- the header ---

    def _coordinates(self) -> None:
        over, spans = self.tree.over, self.tree.over_spans
        if len(over) > 1 or over == ("graph",):
            what = "graphs" if over == ("graph",) else "grids"
            self.scope.fail("E390", f"recurrences over {what} are not supported yet", spans[0].join(spans[-1]))
        if over:
            self.scope.clock = over[0]

    def _constants(self, overrides: dict[str, Number]) -> None:
        scope = self.scope
        for name, default in self.tree.constants:
            if name.id in scope.constants:
                scope.report("E306", f"the constant `{name.id}` is declared twice", name.span)
                continue
            try:
                value = self.statements.expressions.number(default, f"the constant `{name.id}`")
            except Stop:
                value = 1
            scope.constants[name.id] = overrides.pop(name.id, value)
        for name in overrides:
            known = ", ".join(f"`{key}`" for key in scope.constants)
            hint = f"its constants are {known}" if known else "it has no constants"
            scope.report("E307", f"`{self.tree.name}` has no constant `{name}`", self.tree.name_span, hint=hint)

    def _functions(self) -> None:
        """The file's `def`s and those that it imports from files beside it."""
        for definition in self.file.defs:
            self.scope.defs[definition.name] = definition
        for item in self.file.imports:
            self._import(item)

    def _import(self, item: syntax.Import) -> None:
        folder = Path(self.file.source.path).parent
        path = folder.joinpath(*item.module.id.split(".")).with_suffix(".rec")
        if not path.is_file():
            self.scope.report("E391", f"there is no file `{path}` to import from", item.module.span)
            return
        try:
            known = {definition.name: definition for definition in parse_file(path).defs}
        except SpecError as error:
            self.scope.findings.extend(error.diagnostics)
            return
        for name in item.names:
            if name.id not in known:
                hint = self.scope.suggest(name.id, list(known))
                self.scope.report("E391", f"`{path.name}` defines no function `{name.id}`", name.span, hint=hint)
            else:
                self.scope.defs[name.id] = known[name.id]

    # --- declarations ---

    def _declare(self, items: list[syntax.Declare]) -> None:
        for item in items:
            if item.kind != "state":
                self._note_sizes(item)
        for item in items:
            if self._new_name(item) and self._known_sizes(item):
                var = self._variable(item)
                self.scope.declared[item.name] = var
                self.scope.bound[item.name] = Value(var.ref(), var.axes)
                {"input": self.inputs, "param": self.params}.get(item.kind, []).append(var)
                if item.kind == "state":
                    self.scope.states[item.name] = State(var, Const(0))
            else:
                self.scope.bound[item.name] = Poison
        for var in self.inputs + self.params:  # once rebound, they are locals with axes of their own
            self.scope.visible[var.name] = Value(var.ref(), var.axes)
            del self.scope.declared[var.name]
        self.scope.namer = type(self.scope.namer)([*self.scope.bound, *self.scope.sizes, *self.scope.constants])
        self.scope.later = assigned(self.tree.body)

    def _new_name(self, item: syntax.Declare) -> bool:
        scope, name = self.scope, item.name
        taken = "twice" if name in scope.bound or name in self.outputs else None
        if name in scope.constants:
            taken = "both as a constant and here"
        elif name in scope.sizes:
            taken = f"both as a size and as {'an' if item.kind[0] in 'io' else 'a'} {item.kind}"
        if taken:
            scope.report("E306", f"`{name}` is declared {taken}", item.name_span, hint="give one of them another name")
        return taken is None

    def _note_sizes(self, item: syntax.Declare) -> None:
        for place, dim in enumerate(item.dims or ()):
            if isinstance(dim, str):
                self.scope.sizes.setdefault(dim, _dim_span(item, place))

    def _known_sizes(self, item: syntax.Declare) -> bool:
        scope, good = self.scope, True
        for place, dim in enumerate(item.dims or ()):
            span = _dim_span(item, place)
            number = dim if isinstance(dim, int) else scope.constants.get(dim)
            if number is not None and (number != int(number) or number < 1):
                scope.report("E308", f"a size must be a whole number from 1, not {number}", span)
                good = False
            elif isinstance(dim, str) and number is None and dim not in scope.sizes:
                hint = scope.suggest(dim, list(scope.sizes)) or "every size stands in an input or a param, or is a constant of the header"
                scope.report("E309", f"the size `{dim}` of `{item.name}` is not known", span, hint=hint)
                good = False
            elif isinstance(dim, str):
                scope.sizes.setdefault(dim, span)
        return good

    def _variable(self, item: syntax.Declare) -> Var:
        scope = self.scope
        if item.type_name not in (None, "complex"):
            hint = "the only type is `complex`; a range is `<= 0` or `in (0, 1)`"
            scope.report("E324", f"unknown type `{item.type_name}`", item.type_span, hint=hint)
        if item.place is not None:
            scope.report("E390", "recurrences over grids and graphs are not supported yet", item.place.span)
        interval = None
        if item.bounds is not None and item.kind in ("state", "output"):
            scope.report("E325", "a range is promised of an input or a param", item.bounds.span, hint="use `assert`")
        elif item.bounds is not None and item.complex:
            scope.report("E325", "a complex value has no order and no range", item.bounds.span, hint="use `assert abs(x) < 1`")
        elif item.bounds is not None:
            interval = self._interval(item.bounds)
        if item.kind in ("input", "param") and item.value is not None:
            hint = "a default belongs to a constant of the header, a start to a state"
            scope.report("E326", f"an {item.kind} has no value of its own".replace("an p", "a p"), item.value.span, hint=hint)
        return Var(item.name, tuple(item.dims or ()), item.complex, interval, span=item.name_span)

    def _interval(self, bounds: syntax.Bound | syntax.Interval) -> Interval | None:
        try:
            if isinstance(bounds, syntax.Interval):
                low, high = self._limit(bounds.lo), self._limit(bounds.hi)
                return Interval(low, high, bounds.lo_open, bounds.hi_open)
            limit, open_ = self._limit(bounds.expr), bounds.op in ("<", ">")
            if bounds.op in ("<", "<="):
                return Interval(None, limit, False, open_)
            return Interval(limit, None, open_, False)
        except Stop:
            return None

    def _limit(self, node: syntax.Expr) -> Expr:
        return Const(self.statements.expressions.number(node, "the end of a range"), span=node.span)

    def _declare_output(self, item: syntax.Declare) -> None:
        scope, name = self.scope, item.name
        if name in self.outputs:
            scope.report("E306", f"the output `{name}` is declared twice", item.name_span)
            return
        if name in scope.constants or name in scope.sizes:
            self._new_name(item)
            return
        self.outputs[name] = item
        if item.dims is None and item.type_name is None:
            return
        if name in scope.states:
            own = scope.states[name].var.sizes
            if item.dims is not None and item.dims != own:
                message = f"`{name}` is a state with [{', '.join(map(str, own))}]"
                scope.report("E322", message, item.name_span, hint=f"`output {name}` takes the state's axes")
        elif item.dims is not None and self._known_sizes(item):
            scope.declared[name] = self._variable(item)

    def _starts(self, items: list[syntax.Declare]) -> None:
        """What states start from: expressions of params, constants and sizes."""
        scope = self.scope
        outside = scope.bound
        for item in items:
            if item.value is None or item.name not in scope.states:
                continue
            scope.bound = {var.name: Value(var.ref(), var.axes) for var in self.params}
            later, scope.later = scope.later, set()
            try:
                value = self.statements.expressions.value(item.value)
                self._start(item, value)
            except Stop:
                pass
            scope.bound, scope.later = outside, later
            scope.indices.clear()
        if scope.lets:
            raise AssertionError("a start defined a name")

    def _start(self, item: syntax.Declare, value: Value) -> None:
        var = self.scope.states[item.name].var
        assert item.value is not None
        value = self.statements.declared(item.name, value, item.value)
        expr = value.expr
        if value.axes:
            order = self.scope._declared_order(value, var.sizes)
            expr = substitute(expr, dict(zip(order, formal(var.sizes), strict=True)))
        self.scope.states[item.name] = State(var, canonical(expr))

    # --- the step ---

    def _body(self) -> None:
        for place, item in enumerate(self.tree.body):
            try:
                self._line(item, place)
            except Stop:
                for name in assigned((item,)):
                    self.scope.bound[name] = Poison
            self.scope.indices.clear()

    def _line(self, item: syntax.Stmt | syntax.Declare, place: int) -> None:
        if isinstance(item, syntax.Assert):
            self._promise(item)
        elif not isinstance(item, syntax.Declare):
            self.statements.run((item,))
        elif item.kind == "output" and self.outputs.get(item.name) is item:
            if item.value is not None:
                target = syntax.Target(item.name, span=item.name_span, name_span=item.name_span)
                self.statements.assign(target, self.statements.expressions.value(item.value), item.value)
            else:
                self._bare_output(item, place)

    def _bare_output(self, item: syntax.Declare, place: int) -> None:
        """`output h` stands above all equations or below the last assignment to `h`."""
        body = self.tree.body
        above = any(not isinstance(other, (syntax.Declare, syntax.Assert, syntax.Def)) for other in body[:place])
        if above and item.name in assigned(body[place + 1 :]):
            hint = "an output is what its name holds at the end of the step: declare it above all equations or below the last one"
            self.scope.fail("E327", f"`{item.name}` is assigned again below", item.span, hint=hint)

    def _promise(self, item: syntax.Assert) -> None:
        test = self.statements.expressions.condition(item.test, "`assert`").expr
        whole = canonical(inline_all(test, self.scope))
        states = names(whole) & ({*self.scope.states} | {state.name for state in self.scope.hidden.values()})
        if states:
            name = sorted(states)[0]
            self.scope.fail("E328", f"a promise is about inputs and params, but this reads the state `{name}`", item.span)
        self.promises.append(Promise(whole, item.test.span.text, span=item.span))

    # --- the end of the step ---

    def _complete(self) -> None:
        scope = self.scope
        for name, state in scope.states.items():
            value = scope.bound.get(name)
            if name not in scope.later and isinstance(value, Value):
                hint = f"assign it, as in `{name} = ...`; what is constant in time is a `param`"
                scope.report("E329", f"the state `{name}` is never updated", state.var.span, hint=hint)
        for name, item in self.outputs.items():
            if name not in scope.bound:
                hint = scope.suggest(name, list(scope.bound)) or f"`output {name} = ...` gives it one"
                scope.report("E301", f"the output `{name}` has no value", item.name_span, hint=hint)
        if not self.outputs:
            scope.report("E392", f"`{self.tree.name}` has no output", self.tree.name_span, hint="`output h`")
        if not self.inputs:
            hint = "a call learns the length of the sequence from its inputs"
            scope.report("E393", f"`{self.tree.name}` has no input", self.tree.name_span, hint=hint)
        if not scope.states and not scope.hidden and not scope.findings.has_errors:
            hint = "`state h[D]` declares what is carried from step to step"
            scope.report("E394", f"`{self.tree.name}` has no state", self.tree.name_span, hint=hint)

    def _recurrence(self) -> Recurrence:
        scope = self.scope
        hidden = list(scope.hidden.items())
        updates = [self._final(name, state.var) for name, state in scope.states.items()]
        updates += [scope.updates[key] if key in scope.updates else self._held(key, state) for key, state in hidden]
        return Recurrence(
            name=self.tree.name,
            inputs=tuple(self.inputs),
            params=tuple(self.params),
            states=(*scope.states.values(), *(state for _, state in hidden)),
            lets=tuple(scope.lets),
            updates=tuple(updates),
            outputs=tuple(self._output(name) for name in self.outputs),
            sizes=tuple((size, int(scope.constants[size])) for size in scope.sizes if size in scope.constants),
            constants=tuple(scope.constants.items()),
            promises=tuple(self.promises),
            doc=self.tree.doc,
            span=self.tree.name_span,
        )

    def _final(self, name: str, var: Var) -> Expr:
        """What a declared name holds at the end of the step, over the name's axes."""
        value = self.scope.bound[name]
        assert isinstance(value, Value)
        order = self.scope._declared_order(value, var.sizes)
        return substitute(value.expr, dict(zip(order, formal(var.sizes), strict=True)))

    def _held(self, key: str, state: State) -> Expr:
        return self._final(self.scope.carried[key], state.var)

    def _output(self, name: str) -> Output:
        value, item = self.scope.bound[name], self.outputs[name]
        assert isinstance(value, Value)
        var = self.scope.declared.get(name) or Var(name, value.sizes, value.kind == "complex", span=item.name_span)
        if name in self.scope.states:
            var = Var(name, var.sizes, var.complex, span=item.name_span)
        return Output(var, self._final(name, var))


def inline_all(expr: Expr, scope: Scope) -> Expr:
    """An expression in terms of inputs, params and states alone."""
    lets = {let.name: let for let in scope.lets}
    while any(name in lets for name in names(expr)):
        expr = inline(expr, lets)
    return expr


def _dim_span(item: syntax.Declare, place: int):
    return item.dim_spans[place] if place < len(item.dim_spans) else item.name_span


