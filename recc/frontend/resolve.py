"""From the syntax tree to the IR: the declarations, the functions, the step, and what a recurrence must have."""

from __future__ import annotations

from recc.diagnostics import Findings
from recc.frontend import syntax
from recc.frontend.declarations import Declarations, Number
from recc.frontend.functions import functions_of
from recc.frontend.scope import Poison, Scope, Stop
from recc.frontend.statements import Statements, assigned
from recc.frontend.values import Value
from recc.ir.nodes import Const, Expr, Output, Promise, Recurrence, Var
from recc.ir.traverse import canonical, names
from recc.passes.tidy import tidy


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
        self.declarations = Declarations(tree, scope, self.statements)
        self.promises: list[Promise] = []

    def run(self, overrides: dict[str, Number]) -> Recurrence | None:
        """The recurrence; None if something in it is wrong, which has been reported then."""
        scope = self.scope
        self.declarations.read(overrides)
        scope.defs = functions_of(self.file, scope, {})
        self.declarations.starts()
        self._body()
        self._complete()
        return None if scope.errors else self._recurrence()

    # --- the step ---

    def _body(self) -> None:
        for place, item in enumerate(self.tree.body):
            try:
                self._line(item, place)
            except Stop:
                self.scope.forget(assigned((item,)))
            self.scope.indices.clear()

    def _line(self, item: syntax.Stmt | syntax.Declare, place: int) -> None:
        if isinstance(item, syntax.Assert):
            self._promise(item)
        elif not isinstance(item, syntax.Declare):
            self.statements.run((item,))
        elif item.kind == "output" and self.declarations.outputs.get(item.name) is item:
            if item.value is None:
                self._bare_output(item, place)
            elif self.scope.bound.get(item.name) is not Poison or item.name not in self.scope.sizes:
                target = syntax.Target(item.name, span=item.name_span, name_span=item.name_span)
                self.statements.expressions.find_indices(item.value)
                value = self.statements.expressions.value(item.value)
                self.statements.assignments.assign(target, value, item.value)

    def _bare_output(self, item: syntax.Declare, place: int) -> None:
        """`output h` stands above all equations or below the last assignment to `h`."""
        body = self.tree.body
        above = any(not isinstance(other, (syntax.Declare, syntax.Assert, syntax.Def)) for other in body[:place])
        if above and item.name in assigned(body[place + 1 :]):
            note = "an output is what its name holds at the end of the step"
            hint = "declare it above all equations or below the last one"
            self.scope.fail("E327", f"`{item.name}` is assigned again below", item.span, hint=hint, note=note)

    def _promise(self, item: syntax.Assert) -> None:
        scope = self.scope
        test = self.statements.expressions.condition(item.test, "`assert`").expr
        whole = canonical(scope.inlined(test, item.test.span))
        hidden = {state.name: key for key, state in scope.hidden.items()}
        read = [
            *(name for name in scope.states if name in names(whole)),
            *(hidden[n] for n in hidden if n in names(whole)),
        ]
        if read:
            message = f"a promise is about inputs and params, but this reads `{read[0]}`, which the step carries"
            scope.fail("E328", message, item.test.span, hint="promise what makes it true")
        if isinstance(whole, Const):
            truth = "always" if whole.value else "never"
            scope.fail("E328", f"this promise {truth} holds", item.test.span, hint="leave it out")
        self.promises.append(Promise(whole, " ".join(item.test.span.text.split()), span=item.span))

    # --- the end of the step ---

    def _complete(self) -> None:
        scope, tree, outputs = self.scope, self.tree, self.declarations.outputs
        for name, state in scope.states.items():
            if name not in scope.later:
                hint = f"assign it, as in `{name} = ...`; what is constant in time is a `param`"
                scope.report("E329", f"the state `{name}` is never updated", state.var.span, hint=hint)
        for name, item in outputs.items():
            if name not in scope.bound:
                hint = scope.suggest(name, scope.bound) or f"`output {name} = ...` gives it one"
                scope.report("E301", f"the output `{name}` has no value", item.name_span, hint=hint)
        kinds = {item.kind for item in tree.body if isinstance(item, syntax.Declare)}
        state = next(iter(scope.states), "h")
        if "output" not in kinds:
            hint = f"`output {state}` says what comes out; in a decorated function, `{state}: Out`"
            scope.report("E392", f"`{tree.name}` has no output", tree.name_span, hint=hint)
        if "input" not in kinds:
            hint = "a call learns the length of a sequence from its inputs; `input x` declares one"
            scope.report("E393", f"`{tree.name}` has no input", tree.name_span, hint=hint)
        if "state" not in kinds and not scope.hidden and not scope.errors:
            hint = "`state h[D]` declares what is carried from step to step"
            scope.report("E394", f"`{tree.name}` has no state", tree.name_span, hint=hint)
        self._remembered()

    def _remembered(self) -> None:
        """What `prev` read must end the step as it was read."""
        scope = self.scope
        for key, name in scope.carried.items():
            var, value = scope.hidden[key].var, scope.bound.get(name.id)
            if value is None:
                message = f"`{name.id}` has no value at the end of the step, so that `prev` has nothing to read"
                scope.report("E362", message, name.span, hint=f"assign `{name.id}` outside of the `if` too")
            elif isinstance(value, Value):
                other = value.axes and sorted(map(str, value.sizes)) != sorted(map(str, var.sizes))
                if (
                    other
                    or value.kind != ("complex" if var.complex else "real")
                    and not (var.complex and value.kind == "real")
                ):
                    message = f"`{name.id}` is something else at the end of the step than where `prev` reads it"
                    shape = Value(var.ref(), var.axes).describe()
                    note = f"here it is {shape}, and at the end {value.describe()}, {value.kind}"
                    scope.report("E363", message, name.span, note=note, hint="give one of them another name")

    def _recurrence(self) -> Recurrence:
        scope, read = self.scope, self.declarations
        hidden = list(scope.hidden.items())
        updates = [self._final(name, state.var) for name, state in scope.states.items()]
        for key, state in hidden:
            updates.append(
                scope.updates[key] if key in scope.updates else self._final(scope.carried[key].id, state.var)
            )
        return Recurrence(
            name=self.tree.name,
            inputs=tuple(read.inputs),
            params=tuple(read.params),
            states=(*scope.states.values(), *(state for _, state in hidden)),
            lets=tuple(scope.lets),
            updates=tuple(updates),
            outputs=tuple(self._output(name) for name in read.outputs),
            sizes=tuple((size, int(scope.constants[size])) for size in scope.sizes if size in scope.constants),
            constants=tuple(scope.constants.items()),
            promises=tuple(self.promises),
            doc=self.tree.doc,
            span=self.tree.name_span,
        )

    def _final(self, name: str, var: Var) -> Expr:
        """What a name holds at the end of the step, over a declaration's axes."""
        value = self.scope.bound[name]
        assert isinstance(value, Value)
        return self.statements.assignments.final(value, var.sizes, var.axes)

    def _output(self, name: str) -> Output:
        value, item = self.scope.bound[name], self.declarations.outputs[name]
        assert isinstance(value, Value)
        var = self.scope.declared.get(name) or Var(name, value.sizes, value.kind == "complex", span=item.name_span)
        if name in self.scope.states:
            var = Var(name, var.sizes, var.complex, span=item.name_span)
        return Output(var, self._final(name, var))
