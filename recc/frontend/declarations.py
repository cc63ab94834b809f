"""What a recurrence declares: constants, sizes, inputs, params, states with their starts, outputs."""

from __future__ import annotations

import math

from recc.frontend import syntax
from recc.frontend.expressions import shown
from recc.frontend.scope import Poison, Scope, Stop
from recc.frontend.statements import Statements, assigned
from recc.frontend.values import Value
from recc.ir.nodes import Const, Expr, Interval, State, Var, formal
from recc.ir.traverse import canonical
from recc.passes.tidy import Namer

Number = int | float
LARGEST = 2**53
OTHER_NAME = "give one of them another name"


class Declarations:
    """Reads the declarations of a recurrence into a scope."""

    def __init__(self, tree: syntax.Recurrence, scope: Scope, statements: Statements):
        self.tree = tree
        self.scope = scope
        self.statements = statements
        self.inputs: list[Var] = []
        self.params: list[Var] = []
        self.outputs: dict[str, syntax.Declare] = {}
        self._first: dict[str, syntax.Declare] = {}

    def read(self, overrides: dict[str, Number]) -> None:
        """Read the header and all declarations but what outputs are equal to."""
        self._coordinates()
        self._constants(overrides)
        declared = [item for item in self.tree.body if isinstance(item, syntax.Declare)]
        self._check_first_letters(declared)
        self._variables([item for item in declared if item.kind != "output"])
        for item in declared:
            if item.kind == "output":
                self._output(item)

    # --- the header ---

    def _coordinates(self) -> None:
        over, spans = self.tree.over, self.tree.over_spans
        if len(over) > 1 or over == ("graph",):
            what = "graphs" if over == ("graph",) else "grids"
            hint = "a recurrence over one coordinate runs in time"
            self.scope.fail(
                "E390", f"recurrences over {what} are not supported yet", spans[0].join(spans[-1]), hint=hint
            )
        if not over:
            return
        self.scope.clock = over[0]
        declared = {item.name for item in self.tree.body if isinstance(item, syntax.Declare)}
        sizes = {dim for item in self.tree.body if isinstance(item, syntax.Declare) for dim in item.dims or ()}
        if over[0] in declared | sizes | {name.id for name, _ in self.tree.constants}:
            message = f"`{over[0]}` is the step number, and declared as something else too"
            self.scope.report("E306", message, spans[0], hint=OTHER_NAME)

    def _constants(self, overrides: dict[str, Number]) -> None:
        scope, given = self.scope, dict(overrides)
        for name, default in self.tree.constants:
            try:
                value = self.statements.expressions.number(default, f"the constant `{name.id}`", "write a number")
            except Stop:
                value = 1
            value = given.pop(name.id, value)
            if math.isnan(value) or isinstance(value, int) and abs(value) > LARGEST:
                scope.report("E304", f"the constant `{name.id}` is too large, or not a number", name.span)
                value = 1
            scope.constants[name.id] = value
        for name in given:
            known = " and ".join(f"`{key}`" for key in scope.constants)
            hint = f"its constants are {known}" if known else f"`recurrence {self.tree.name}({name}=2):` makes it one"
            scope.report("E307", f"`{self.tree.name}` has no constant `{name}`", self.tree.name_span, hint=hint)

    def _check_first_letters(self, declared: list[syntax.Declare]) -> None:
        """Names that a caller sees start with a letter: what Python hides, and fields of a result, may not."""
        seen = [(self.tree.name, self.tree.name_span), *((name.id, name.span) for name, _ in self.tree.constants)]
        for item in declared:
            seen += [(item.name, item.name_span), *zip(item.dims or (), item.dim_spans, strict=False)]
        for name, span in seen:
            if isinstance(name, str) and name.startswith("_"):
                hint = f"`{name.strip('_') or 'x'}` is a name"
                self.scope.report("E306", f"`{name}` cannot be declared: it starts with `_`", span, hint=hint)

    # --- inputs, params, states ---

    def _variables(self, items: list[syntax.Declare]) -> None:
        scope = self.scope
        for item in items:
            if item.kind != "state":
                for dim, span in zip(item.dims or (), item.dim_spans, strict=False):
                    if isinstance(dim, str):
                        scope.sizes.setdefault(dim, span)
        for item in items:
            self._variable(item)
        for var in (*self.inputs, *self.params):  # once rebound, they are locals with axes of their own
            scope.visible[var.name] = Value(var.ref(), var.axes)
            del scope.declared[var.name]
        scope.visible |= {name: Poison for name, value in scope.bound.items() if value is Poison}
        scope.initial = {var.name: scope.visible[var.name] for var in self.params}
        scope.initial |= {item.name: Poison for item in items if scope.bound[item.name] is Poison}
        scope.namer = Namer([*scope.bound, *scope.sizes, *scope.constants])
        scope.later = assigned(self.tree.body)

    def _variable(self, item: syntax.Declare) -> None:
        scope = self.scope
        if not self._is_new(item):
            scope.bound.setdefault(item.name, Poison)
            return
        self._first[item.name] = item
        if not self._sizes_known(item):
            scope.bound[item.name] = Poison
            return
        var = self._var(item)
        scope.declared[item.name] = var
        scope.bound[item.name] = Value(var.ref(), var.axes)
        if item.kind == "state":
            scope.states[item.name] = State(var, Const(0))
        else:
            (self.inputs if item.kind == "input" else self.params).append(var)
            if item.value is not None:
                hint = f"a number is a constant of the header: `recurrence {self.tree.name}({item.name}=...):`"
                message = f"{_article(item.kind)} is given by the caller, and has no value here"
                scope.report("E326", message, item.value.span, hint=hint)

    def _is_new(self, item: syntax.Declare) -> bool:
        scope, name = self.scope, item.name
        first = self._first.get(name)
        if first is not None:
            what = f"declared twice, as {_article(first.kind)} and as {_article(item.kind)}"
            what = f"declared twice as {_article(item.kind)}" if first.kind == item.kind else what
            note = f"the first is in line {first.name_span.line}"
            scope.report("E306", f"`{name}` is {what}", item.name_span, hint=OTHER_NAME, note=note)
        elif name in scope.constants or name in scope.sizes:
            what = "a constant of the header" if name in scope.constants else "a size"
            scope.report("E306", f"`{name}` is both {what} and {_article(item.kind)}", item.name_span, hint=OTHER_NAME)
        return first is None and name not in scope.constants and name not in scope.sizes

    def _sizes_known(self, item: syntax.Declare) -> bool:
        scope, good = self.scope, True
        for dim, span in zip(item.dims or (), item.dim_spans or (item.name_span,) * 99, strict=False):
            number = dim if isinstance(dim, int) else scope.constants.get(dim)
            if number is not None and not (math.isfinite(number) and number == int(number) and 1 <= number < 2**31):
                hint = f"give `{dim}` such a value" if isinstance(dim, str) else ""
                message = f"the size `{dim}` must be a whole number from 1, not {shown(number)}"
                scope.report("E308", message, span, hint=hint)
                good = False
            elif number is None and dim not in scope.sizes:
                hint = scope.suggest(str(dim), scope.sizes)
                hint = hint or "every size stands in an input or a param, or is a constant of the header"
                scope.report("E309", f"the size `{dim}` of `{item.name}` is not known", span, hint=hint)
                good = False
            elif isinstance(dim, str):
                scope.sizes.setdefault(dim, span)
        return good

    def _var(self, item: syntax.Declare) -> Var:
        scope = self.scope
        if item.place is not None:
            message = "`along` and `on` belong to recurrences over grids and graphs, which are not supported yet"
            scope.report("E390", message, item.place.span, hint="leave it out")
        return Var(item.name, tuple(item.dims or ()), item.complex, self._interval(item), span=item.name_span)

    # --- ranges ---

    def _interval(self, item: syntax.Declare) -> Interval | None:
        bounds, scope = item.bounds, self.scope
        if bounds is None:
            return None
        if item.kind in ("state", "output"):
            hint = "`clamp(x, low, high)` keeps a value in a range"
            message = f"a range is promised of inputs and params, and `{item.name}` is {_article(item.kind)}"
            scope.report("E325", message, bounds.span, hint=hint)
            return None
        if item.complex:
            hint = f"a promise about its size is `assert abs({item.name}) <= 1`"
            scope.report("E325", "a complex value has no order and no range", bounds.span, hint=hint)
            return None
        try:
            return self._ends(bounds, item.name)
        except Stop:
            return None

    def _ends(self, bounds: syntax.Bound | syntax.Interval, name: str) -> Interval:
        if isinstance(bounds, syntax.Interval):
            low, high = self._end(bounds.lo, name), self._end(bounds.hi, name)
            if low > high or low == high and (bounds.lo_open or bounds.hi_open):
                self.scope.fail("E325", "this range is empty", bounds.span, hint="the smaller end stands first")
            return Interval(
                Const(low, span=bounds.lo.span), Const(high, span=bounds.hi.span), bounds.lo_open, bounds.hi_open
            )
        end, is_open = Const(self._end(bounds.expr, name), span=bounds.expr.span), bounds.op in ("<", ">")
        if bounds.op in ("<", "<="):
            return Interval(None, end, False, is_open)
        return Interval(end, None, is_open, False)

    def _end(self, node: syntax.Expr, name: str) -> int | float:
        hint = f"a number or a constant of the header; `assert {name} < ...` promises anything"
        return self.statements.expressions.number(node, "the end of a range", hint)

    # --- outputs and starts ---

    def _output(self, item: syntax.Declare) -> None:
        scope, name = self.scope, item.name
        if name in self.outputs:
            note = f"the first is in line {self.outputs[name].name_span.line}"
            scope.report(
                "E306", f"the output `{name}` is declared twice", item.name_span, note=note, hint="leave one out"
            )
            return
        self.outputs[name] = item
        if name in scope.constants or name in scope.sizes:
            what = "a constant of the header" if name in scope.constants else "a size"
            scope.report("E306", f"`{name}` is both {what} and an output", item.name_span, hint=OTHER_NAME)
            scope.bound[name] = Poison
            return
        if item.dims is None and item.type_name is None and item.bounds is None and item.place is None:
            return
        if name in scope.states:
            own = scope.states[name].var.sizes
            if item.dims is not None and item.dims != own:
                shape = f"[{', '.join(map(str, own))}]" if own else "a scalar"
                hint = f"`output {name}` takes the state's axes"
                scope.report("E322", f"the state `{name}` is {shape}", item.dim_spans[0], hint=hint)
            self._interval(item)
        elif self._sizes_known(item):
            var = self._var(item)
            if item.dims is not None:
                scope.declared[name] = var
        else:
            scope.bound[name] = Poison

    def starts(self) -> None:
        """What states start from, once the functions are known: expressions of params, constants and sizes."""
        for item in self.tree.body:
            if isinstance(item, syntax.Declare) and item.kind == "state" and item.value is not None:
                try:
                    self._start(item, item.value)
                except Stop:
                    continue

    def _start(self, item: syntax.Declare, node: syntax.Expr) -> None:
        state = self.scope.states.get(item.name)
        if state is None or state.var.span != item.name_span:
            return
        assignments = self.statements.assignments
        value = self.statements.calls.memory.start(node, f"the start of `{item.name}`")
        value = assignments.declared(state.var, value, node)
        expr: Expr = value.expr
        if value.axes:
            expr = assignments.final(value, state.var.sizes, formal(state.var.sizes))
        self.scope.states[item.name] = State(state.var, canonical(expr))


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "io" else f"a {kind}"
