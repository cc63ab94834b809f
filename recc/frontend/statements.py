"""From statements to definitions: equations, choices and loops."""

from __future__ import annotations

from recc.frontend import elementary, syntax
from recc.frontend.assignments import Assignments
from recc.frontend.calls import Calls
from recc.frontend.expressions import OPERATORS, Expressions
from recc.frontend.fixpoint import is_fixpoint, solve
from recc.frontend.scope import Definition, Poison, Scope, Stop
from recc.frontend.values import AxisError, Value, elementwise, positional, scalar
from recc.ir.nodes import Const
from recc.ir.traverse import substitute

MAX_ROUNDS = 1_000
Outcome = tuple[Value, ...] | None
Branch = tuple[Value | None, tuple[syntax.Stmt, ...]]


class Statements:
    """Reads statements in a scope; of a statement that is wrong, what it assigns is forgotten, and the next is read."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.expressions = Expressions(scope)
        self.assignments = Assignments(scope, self.expressions)
        self.calls = Calls(scope, self.expressions)
        self.expressions.calls = self.calls
        self.calls.statements = self

    def run(self, statements: tuple[syntax.Stmt, ...]) -> Outcome:
        """Read statements in order; the values of a `return`, if one is reached."""
        for place, statement in enumerate(statements):
            try:
                outcome = self.statement(statement)
            except Stop:
                self.scope.forget(assigned((statement,)))
                continue
            finally:
                self.scope.indices.clear()
            if isinstance(statement, syntax.Return) and place + 1 < len(statements):
                span = statements[place + 1].span
                self.scope.report("E376", "nothing after a `return` is read", span, hint="leave it out")
            if outcome is not None:
                return outcome
        return None

    def statement(self, node: syntax.Stmt) -> Outcome:
        """Read one statement. Raises: Stop if it is wrong."""
        scope = self.scope
        scope.count_statement(node.span)
        match node:
            case syntax.Assign():
                self._assign(node)
            case syntax.Augment(target, op, value):
                self._augment(node, target, op, value)
            case syntax.If():
                return self._choice(node)
            case syntax.For():
                return self._loop(node)
            case syntax.Def(name):
                self._definable(node)
                scope.defs[name] = Definition(node, scope.defs)
            case syntax.Return(values):
                read = self.expressions
                return tuple(read.every(lambda value=value: read.value(value) for value in values))
            case syntax.Assert():
                hint = "move it out of the block: a promise holds in every step"
                scope.fail("E371", "`assert` stands only at the level of the recurrence", node.span, hint=hint)
        return None

    def _definable(self, node: syntax.Def) -> None:
        scope = self.scope
        if scope.is_known(node.name):
            scope.defs[node.name] = Poison
            message = f"`{node.name}` is a name already and cannot be a function"
            scope.fail("E372", message, node.name_span, hint="choose another name")

    # --- equations ---

    def _assign(self, node: syntax.Assign) -> None:
        for target, (value, at) in zip(node.targets, self._values(node), strict=True):
            self.assignments.assign(target, value, at)

    def _values(self, node: syntax.Assign) -> list[tuple[Value, syntax.Expr]]:
        """The values for the targets, all read before any is assigned."""
        scope, wanted, read = self.scope, len(node.targets), self.expressions
        if wanted == 1:
            self.assignments.target_indices(node.targets[0])
        read.find_indices(node.values)
        if len(node.values) == wanted:
            found = read.every(lambda value=value: read.value(value) for value in node.values)
            return list(zip(found, node.values, strict=True))
        names = f"{wanted} names stand" if wanted > 1 else "one name stands"
        if len(node.values) != 1:
            hint = "give each name one value"
            scope.fail("E373", f"{names} on the left, but {len(node.values)} values on the right", node.span, hint=hint)
        at = node.values[0]
        if isinstance(at, syntax.Call) and at.func.id in scope.defs:
            values = self.calls.expand(at)
            if len(values) != wanted:
                message = f"{names} on the left, but `{at.func.id}` returns {len(values)}"
                scope.fail("E373", message, node.span, hint="give each value one name")
            return [(value, at) for value in values]
        return [(part, at) for part in self._parts(read.value(at), wanted, at)]

    def _parts(self, value: Value, wanted: int, at: syntax.Expr) -> list[Value]:
        """A value taken apart along its first axis, which must have that constant size."""
        if not value.axes or self.scope.extent(value.axes[0].size) != wanted:
            message = f"{wanted} names need a value whose first axis has the constant size {wanted}"
            hint = f"declare that axis first, as in `x[{wanted}, D]`"
            self.scope.fail("E373", f"{message}, not {value.describe()}", at.span, hint=hint)
        value = self.scope.named("parts", value, at.span)
        first, *rest = value.axes
        return [positional(Value(substitute(value.expr, {first: i}), tuple(rest))) for i in range(wanted)]

    def _augment(self, node: syntax.Augment, target: syntax.Target, op: str, value: syntax.Expr) -> None:
        read = self.expressions
        self.assignments.target_indices(target)
        read.find_indices(value)
        name = syntax.Name(target.name, span=target.span)
        old: syntax.Expr = name if target.items is None else syntax.Index(name, target.items, span=target.span)
        what = f"`{op}=`"
        left, right = read.every([lambda: read.value(old), lambda: read.numeric(read.value(value), value, what)])
        result = read.fitting(lambda: elementwise(OPERATORS[op], left, right, node.span, what), value, old, value)
        self.assignments.assign(target, result, value)

    # --- choices and loops ---

    def _choice(self, node: syntax.If) -> Outcome:
        """An `if`: branches that a constant excludes are not read, the others are joined by `where`."""
        tests: list[Branch] = []
        for test, body in node.branches:
            value = self.expressions.condition(test, "`if`")
            if value.axes:
                hint = "`where(condition, a, b)` chooses place by place"
                self.scope.fail(
                    "E375", f"`if` needs a scalar condition, but this has {value.describe()}", test.span, hint=hint
                )
            if isinstance(value.expr, Const):
                if value.expr.value:
                    tests.append((None, body))
                    break
                continue
            tests.append((self.scope.define("test", value, test.span, temporary=True), body))
        else:
            tests.append((None, node.orelse))
        return self._branches(node, tests)

    def _branches(self, node: syntax.If, tests: list[Branch]) -> Outcome:
        scope = self.scope
        (test, body), rest = tests[0], tests[1:]
        if test is None:
            return self.run(body)
        before, errors = dict(scope.bound), scope.errors
        outcome = self.run(body)
        taken, scope.bound = scope.bound, dict(before)
        other_outcome = self._branches(node, rest)
        other, scope.bound = scope.bound, dict(before)
        if (outcome is None) != (other_outcome is None):
            if scope.errors > errors:
                raise Stop
            message = "one branch returns and another does not"
            scope.fail("E376", message, node.span, hint="give every branch a `return`, also an `else`")
        if outcome is not None and other_outcome is not None:
            return self._joined(node, test, outcome, other_outcome)
        self._merge(node, test, taken, other, before)
        return None

    def _joined(self, node: syntax.If, test: Value, x: tuple[Value, ...], y: tuple[Value, ...]) -> Outcome:
        if len(x) != len(y):
            message = f"one branch returns {len(x)} values and another {len(y)}"
            self.scope.fail("E376", message, node.span, hint="return the same number in every branch")
        return tuple(self._chosen(node, test, a, b, "what is returned") for a, b in zip(x, y, strict=True))

    def _merge(self, node: syntax.If, test: Value, taken: dict, other: dict, before: dict) -> None:
        """After a choice, each name that a branch assigned is one or the other; what one alone made is forgotten."""
        scope = self.scope
        for name in dict.fromkeys([*taken, *other]):
            x, y = taken.get(name), other.get(name)
            if x is None or y is None:
                scope.lost.add(name)
            elif x is Poison or y is Poison:
                scope.bound[name] = Poison
            elif x is not before.get(name) or y is not before.get(name):
                chosen = self._chosen(node, test, x, y, f"`{name}`")
                sizes = scope.declared[name].sizes if name in scope.declared else None
                scope.bound[name] = scope.define(name, chosen, node.span, sizes=sizes)

    def _chosen(self, node: syntax.If, test: Value, x: Value, y: Value, what: str) -> Value:
        """One of two values that branches of an `if` gave."""
        hint = "give it the same axes in both"
        if (x.kind == "bool") != (y.kind == "bool"):
            message = f"{what} is a condition in one branch and a number in another"
            self.scope.fail("E321", message, node.span, hint="make both the same")
        try:
            return elementary.chosen(test, x, y, node)
        except AxisError:
            message = f"{what} has {x.describe()} in one branch and {y.describe()} in another"
            self.scope.fail("E311", message, node.span, hint=hint)

    def _loop(self, node: syntax.For) -> Outcome:
        scope = self.scope
        if is_fixpoint(node.iter) and "fixpoint" not in scope.defs:
            solve(self, node)
            return None
        if len(node.names) != 1:
            scope.fail("E377", "a loop has one counter", node.names[1].span, hint="put a loop into a loop")
        counter, count = node.names[0], self._rounds(node.iter)
        if scope.is_known(counter.id) or counter.id == scope.clock and counter.id in scope.hidden:
            scope.fail(
                "E377", f"the counter `{counter.id}` is a name already", counter.span, hint="choose another name"
            )
        errors = scope.errors
        for value in range(count):
            scope.bound[counter.id] = scalar(Const(value, span=counter.span))
            outcome = self.run(node.body)
            if outcome is not None:
                scope.report("E376", "`return` stands inside of a loop", node.span, hint="return after the loop")
            if scope.errors > errors:
                break
        scope.bound.pop(counter.id, None)
        return None

    def _rounds(self, node: syntax.Expr) -> int:
        """How often a loop runs."""
        scope = self.scope
        size = scope.size_of(node.id) if isinstance(node, syntax.Name) else None
        if (
            isinstance(node, syntax.Name)
            and node.id not in scope.bound
            and size in scope.sizes
            and size not in scope.constants
        ):
            hint = (
                f"make it a constant of the header, as in `recurrence name({size}=2):`, or use an index or a reduction"
            )
            scope.fail("E378", f"the size `{node.id}` is not known when compiling", node.span, hint=hint)
        return self.expressions.whole(node, "the number of rounds", 0, MAX_ROUNDS)


def assigned(statements: tuple[syntax.Stmt | syntax.Declare, ...]) -> set[str]:
    """The names that statements may assign."""
    found: set[str] = set()
    for statement in statements:
        match statement:
            case syntax.Assign(targets):
                found |= {target.name for target in targets}
            case syntax.Augment(target):
                found.add(target.name)
            case syntax.If(branches, orelse):
                found |= assigned(orelse).union(*(assigned(body) for _, body in branches))
            case syntax.For(unknowns, head, body):
                found |= assigned(body) | ({name.id for name in unknowns} if is_fixpoint(head) else set())
            case syntax.Declare("output", name, value=value) if value is not None:
                found.add(name)
    return found
