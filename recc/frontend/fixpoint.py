"""`for y in fixpoint(h, tol=1e-6, max=50):`, a value that its own equations give back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recc.frontend import syntax
from recc.frontend.arguments import Arguments, is_true
from recc.frontend.scope import Stop, declared_order
from recc.frontend.values import Value, positional
from recc.ir.nodes import Axis, Expr, Fixpoint, Let, Ref, Var, formal
from recc.ir.traverse import inline, names, substitute
from recc.passes.implicit import Ending, close

if TYPE_CHECKING:
    from recc.frontend.statements import Statements

TOLERANCE, ROUNDS, MOST_ROUNDS = 1e-6, 50, 100_000
USAGE = "`for y in fixpoint(h, tol=1e-6, max=50):` starts at `y = h`"


def is_fixpoint(node: syntax.Expr) -> bool:
    return isinstance(node, syntax.Call) and node.func.id == "fixpoint"


def solve(statements: Statements, node: syntax.For) -> None:
    """Read a loop that repeats its body until what it computes stays as it is. Raises: Stop if it is wrong."""
    _Solver(statements, node).solve()


class _Solver:
    def __init__(self, statements: Statements, node: syntax.For):
        assert isinstance(node.iter, syntax.Call)
        self.scope, self.statements, self.node = statements.scope, statements, node
        self.call = Arguments(self.scope, statements.expressions, node.iter)
        self.name = node.names[0]

    def solve(self) -> None:
        scope, name = self.scope, self.name.id
        self._check_names()
        ending = self._ending()
        start = self.call.value(0, complex_too=True)
        declared = scope.declared.get(name)
        if declared is not None:
            start = self.statements.assignments.declared(declared, start, self.call.node.args[0])
        sizes, is_complex = start.sizes, start.kind == "complex"
        if declared is not None:
            sizes, is_complex = declared.sizes, declared.complex
        var = Var(scope.namer(name), sizes, is_complex, span=self.name.span)
        lets, value = self._read_body(var)
        fixed, closed = close(
            var, _over(start, var), *self._result(lets, value, var), ending, scope.namer, self._around()
        )
        self._check_closed(closed)
        scope.lets.extend(fixed)
        scope.lets.append(Let(var.name, var.axes, closed, span=self.name.span))
        scope.bound[name] = Value(Ref(var.name, var.axes, var.kind, span=self.name.span), var.axes)
        scope.lost.discard(name)

    def _around(self) -> dict[str, tuple[Axis, ...]]:
        """The axes of all names that the body may read."""
        scope = self.scope
        given = (value for value in scope.visible.values() if isinstance(value, Value))
        axes = {value.expr.name: value.axes for value in given if isinstance(value.expr, Ref)}
        axes |= {state.name: state.var.axes for state in (*scope.states.values(), *scope.hidden.values())}
        return axes | {let.name: let.axes for let in scope.lets}

    # --- what the head says ---

    def _check_names(self) -> None:
        scope, node, name = self.scope, self.node, self.name.id
        if len(node.names) != 1:
            scope.fail("E377", "a fixed point has one unknown", node.names[1].span, hint="put both on one axis")
        if scope.solving:
            message = f"the body of the fixed point `{scope.solving}` cannot hold another one"
            scope.fail("E383", message, node.iter.span, hint="solve one after the other, or both as one array")
        fixed = name in scope.constants or name in scope.sizes or name in scope.renamed or name in scope.defs
        clock = name == scope.clock and name in scope.hidden
        if fixed or clock or (name in scope.declared and name in scope.bound):
            message = f"the unknown `{name}` of the fixed point is a name already"
            scope.fail("E377", message, self.name.span, hint="choose another name, and assign from it after the loop")
        for target in _targets(node.body):
            if target.name != name and (scope.is_known(target.name) or target.name in scope.declared):
                message = f"the body of the fixed point `{name}` assigns `{target.name}`, which is known outside of it"
                hint = f"a body makes `{name}` and names of its own; assign `{target.name}` after the loop"
                scope.fail("E383", message, target.span, hint=hint)
        if all(target.name != name for target in _targets(node.body)):
            hint = f"end it with `{name} = ...`, the next value"
            scope.fail("E383", f"the body of the fixed point never assigns `{name}`", self.name.span, hint=hint)

    def _ending(self) -> Ending:
        call, read = self.call, self.statements.expressions
        call.count(1, hint=USAGE)
        given = call.keywords("tol", "max", "relative")
        tolerance, rounds, relative = TOLERANCE, ROUNDS, False
        if "tol" in given:
            tolerance = float(read.number(given["tol"], "`tol=`"))
            if not 0 < tolerance < math.inf:
                hint = "a loop ends where `abs(change) <= tol * (1 + abs(y))` holds everywhere"
                self.scope.fail("E383", "`tol=` must be a number above zero", given["tol"].span, hint=hint)
        if "max" in given:
            rounds = read.whole(given["max"], "`max=`", 1, MOST_ROUNDS)
        if "relative" in given:
            truth = is_true(given["relative"])
            if truth is None:
                self.scope.fail("E383", "`relative=` is True or False", given["relative"].span)
            relative = truth
        return Ending(tolerance, rounds, relative)

    # --- the body ---

    def _read_body(self, var: Var) -> tuple[tuple[Let, ...], Value]:
        """The definitions of the body, which are taken out of the scope's, and the unknown's next value."""
        scope, node, name = self.scope, self.node, self.name.id
        before, count, errors = dict(scope.bound), len(scope.lets), scope.errors
        scope.bound[name] = Value(var.ref(), var.axes)
        scope.solving = name
        try:
            if self.statements.run(node.body) is not None:
                scope.report("E376", "`return` stands inside of a loop", node.span, hint="return after the loop")
            after = scope.bound
        finally:
            scope.solving, scope.bound = "", before
            lets = tuple(scope.lets[count:])
            del scope.lets[count:]
        if scope.errors > errors:
            raise Stop
        scope.inside |= after.keys() - before.keys() - {name}
        self._check_remembered({let.name for let in lets} | {var.name})
        value = after[name]
        assert isinstance(value, Value)
        return lets, value

    def _check_remembered(self, inside: set[str]) -> None:
        """What `hold` keeps for later steps has to be there when the step ends."""
        scope = self.scope
        scope.held = {key: value for key, value in scope.held.items() if not names(value.expr) & inside}
        if any(names(update) & inside for update in scope.updates.values()):
            message = f"the body of the fixed point `{self.name.id}` holds a value that it computes itself"
            scope.fail("E383", message, self.node.iter.span, hint="`hold` the solution, after the loop")

    def _result(self, lets: tuple[Let, ...], value: Value, var: Var) -> tuple[tuple[Let, ...], Expr]:
        """The body's definitions, and the unknown's next value over the unknown's axes."""
        scope, name = self.scope, self.name.id
        if value.axes and sorted(map(str, value.sizes)) != sorted(map(str, var.sizes)):
            start = Value(var.ref(), var.axes).describe()
            message = f"`{name}` starts with {start}, but its next value has {value.describe()}"
            scope.fail("E383", message, self.name.span, hint="start it with the axes of the solution")
        if value.kind == "bool" or (value.kind == "complex" and not var.complex):
            message = f"`{name}` starts as a {var.kind} value, but its next value is {value.kind}"
            scope.fail("E383", message, self.name.span, hint="start it with a value of the same kind")
        expr = _over(value, var)
        last = lets[-1] if lets else None
        others = frozenset[str]().union(*(names(let.expr) for let in lets))
        if isinstance(expr, Ref) and last is not None and expr.name == last.name and last.name not in others:
            return lets[:-1], inline(expr, {last.name: last})
        return lets, expr

    def _check_closed(self, closed: Fixpoint) -> None:
        name = self.name.id
        reads = names(closed.result).union(*(names(let.expr) for let in closed.lets))
        if closed.unknown.name not in reads:
            hint = f"without `{name}` on the right there is nothing to repeat: write the equations without the loop"
            message = f"the body of the fixed point does not read `{name}`"
            self.scope.fail("E383", message, self.name.span, hint=hint)


def _over(value: Value, var: Var) -> Expr:
    """A value over the unknown's axes."""
    value = positional(value)
    return substitute(value.expr, dict(zip(declared_order(value, var.sizes), formal(var.sizes), strict=True)))


def _targets(statements: tuple[syntax.Stmt, ...]) -> Iterator[syntax.Target]:
    """What statements assign, in order."""
    for statement in statements:
        match statement:
            case syntax.Assign(targets):
                yield from targets
            case syntax.Augment(target):
                yield target
            case syntax.If(branches, orelse):
                for _, body in branches:
                    yield from _targets(body)
                yield from _targets(orelse)
            case syntax.For(_, _, body):
                yield from _targets(body)
