"""From statements to definitions: assignments, choices, loops, and the bodies of `def`s."""

from __future__ import annotations

from recc.frontend import syntax
from recc.frontend.calls import Calls
from recc.frontend.expressions import OPERATORS, Expressions
from recc.frontend.scope import Poison, Scope, Stop
from recc.frontend.values import AxisError, Value, elementwise, is_index, positional, scalar
from recc.ir.build import conjunction, equal_positions, where
from recc.ir.nodes import Axis, Const, Expr
from recc.ir.traverse import substitute

Outcome = tuple[Value, ...] | None


class Statements:
    """Reads statements in a scope; a statement that is wrong poisons what it assigns and the next one is read."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.expressions = Expressions(scope)
        self.calls = Calls(scope, self.expressions)
        self.expressions.calls = self.calls
        self.calls.statements = self

    def run(self, statements: tuple, loops: frozenset[str] = frozenset()) -> Outcome:
        """Read statements in order; the values of a `return`, if one is reached."""
        for statement in statements:
            try:
                outcome = self.statement(statement)
            except Stop:
                for name in assigned((statement,)):
                    self.scope.bound[name] = Poison
                continue
            finally:
                self.scope.indices.clear()
            if outcome is not None:
                return outcome
        return None

    def statement(self, node: syntax.Stmt) -> Outcome:
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
                self.scope.defs[name] = node
            case syntax.Return(values):
                if not self.scope.expanding:
                    hint = "outputs are declared: `output o = ...`"
                    self.scope.fail("E370", "`return` stands only in a `def`", node.span, hint=hint)
                return tuple(self.expressions.value(value) for value in values)
            case syntax.Assert():
                self.scope.fail("E371", "`assert` stands only in the recurrence's own lines", node.span)
        return None

    def _definable(self, node: syntax.Def) -> None:
        scope = self.scope
        if node.name in scope.bound or node.name in scope.constants or node.name in scope.sizes:
            scope.fail("E372", f"`{node.name}` is a name already and cannot be a function", node.name_span)

    # --- assignment ---

    def _assign(self, node: syntax.Assign) -> None:
        values = self._values(node)
        for target, (value, at) in zip(node.targets, values, strict=True):
            self.assign(target, value, at)
            self.scope.indices.clear()

    def _values(self, node: syntax.Assign) -> list[tuple[Value, syntax.Expr]]:
        """The values for the targets, all read before any is assigned."""
        single = len(node.targets) == 1
        self._target_indices(node.targets[0] if single else None)
        self.expressions.find_indices(node.values)
        if len(node.values) == len(node.targets):
            return [(self.expressions.value(value), value) for value in node.values]
        scope, wanted = self.scope, len(node.targets)
        if len(node.values) > 1:
            scope.fail("E373", f"{wanted} name{'s' if wanted > 1 else ''}, but {len(node.values)} values", node.span)
        at = node.values[0]
        if isinstance(at, syntax.Call) and at.func.id in scope.defs:
            values = self.calls.expand(at)
            if len(values) != wanted:
                scope.fail("E373", f"{wanted} names, but `{at.func.id}` returns {len(values)} values", node.span)
            return [(value, at) for value in values]
        return [(part, at) for part in self._parts(self.expressions.value(at), wanted, at)]

    def _parts(self, value: Value, wanted: int, at: syntax.Expr) -> list[Value]:
        """A value taken apart along its first axis, which must have that constant size."""
        first = value.axes[0] if value.axes else None
        extent = None if first is None else first.size
        if isinstance(extent, str):
            extent = self.scope.constants.get(extent)
        if first is None or extent != wanted:
            message = f"{wanted} names need a value whose first axis has the constant size {wanted}, not {value.describe()}"
            self.scope.fail("E373", message, at.span)
        if value.axes and not isinstance(value.expr, Const):
            value = self.scope.define("parts", value, at.span, temporary=True)
        first = value.axes[0]
        return [positional(Value(substitute(value.expr, {first: i}), value.axes[1:])) for i in range(wanted)]

    def _target_indices(self, target: syntax.Target | None) -> None:
        """Give the index names of `y[i, j] = ...` their sizes, as far as the target is known."""
        if target is None or target.items is None:
            return
        known = self._sizes_of(target.name)
        for item, size in zip(target.items, known, strict=False):
            if isinstance(item, syntax.Name) and self.expressions.is_new(item.id):
                self.expressions.index(item, Axis(size))

    def _sizes_of(self, name: str) -> tuple:
        if name in self.scope.declared:
            return self.scope.declared[name].sizes
        found = self.scope.bound.get(name)
        return found.sizes if isinstance(found, Value) else ()

    def _augment(self, node: syntax.Augment, target: syntax.Target, op: str, value: syntax.Expr) -> None:
        self._target_indices(target)
        self.expressions.find_indices(value)
        name = syntax.Name(target.name, span=target.span)
        old: syntax.Expr = name if target.items is None else syntax.Index(name, target.items, span=target.span)
        left = self.expressions.value(old)
        right = self.expressions.numeric(self.expressions.value(value), value, f"`{op}=`")
        try:
            result = elementwise(OPERATORS[op], left, right, node.span, f"`{op}=`")
        except AxisError as error:
            self.scope.fit(error, node.span)
        self.assign(target, result, value)

    def assign(self, target: syntax.Target, value: Value, at: syntax.Node) -> None:
        """Make a name, or a part of what it holds, stand for a value."""
        scope, name = self.scope, target.name
        self._assignable(target)
        if target.items is not None:
            value = self._element(target, value, at)
        loose = [axis for axis in value.axes if is_index(axis)]
        if loose:
            hint = f"write `{name}[{', '.join(str(axis.tag) for axis in loose)}] = ...`, or reduce it"
            scope.fail("E319", f"the index `{loose[0].tag}` is on the right, but not on the left", at.span, hint=hint)
        var = scope.declared.get(name)
        if var is not None:
            value = self.declared(name, value, at)
        scope.bound[name] = scope.define(name, value, target.span, sizes=None if var is None else var.sizes)

    def declared(self, name: str, value: Value, at: syntax.Node) -> Value:
        """A value for a declared name: it has the name's axes, in any order, or none."""
        scope, var = self.scope, self.scope.declared[name]
        wanted, given = tuple(var.sizes), value.sizes
        distinct = len(set(wanted)) == len(wanted)
        same = sorted(map(str, wanted)) == sorted(map(str, given)) and (distinct or wanted == given)
        if given and not same:
            shown = f"[{', '.join(map(str, wanted))}]" if wanted else "no axes"
            message = f"`{name}` is declared with {shown}, but this value has {value.describe()}"
            scope.fail("E322", message, at.span, hint="a value assigned to a declared name has its axes, or none")
        if value.kind == "bool":
            scope.fail("E321", f"`{name}` is a number, but this is a condition", at.span, hint="`where(condition, 1, 0)`")
        if value.kind == "complex" and not var.complex:
            hint = f"declare `{name}: complex`, or take `real(...)` of it"
            scope.fail("E323", f"`{name}` is real, but this value is complex", at.span, hint=hint)
        return value

    def _assignable(self, target: syntax.Target) -> None:
        scope, name = self.scope, target.name
        what = "a constant" if name in scope.constants else "a size" if name in scope.sizes else None
        if name in scope.defs:
            what = "a function"
        if name == scope.clock and name in scope.hidden:
            what = "the step number, which has been read above"
        if name in scope.indices:
            what = "an index of this equation"
        if what:
            scope.fail("E374", f"`{name}` is {what} and cannot be assigned", target.span)

    def _element(self, target: syntax.Target, value: Value, at: syntax.Node) -> Value:
        """The whole value after `S[0] = value`, or what `y[i, j] = value` says of every place."""
        scope = self.scope
        known = self._sizes_of(target.name)
        items = target.items or ()
        if known and len(items) > len(known):
            scope.fail("E315", f"{len(items)} places are given, but `{target.name}` has {len(known)} axes", target.span)
        if not known:
            return self._indexed(target, items, value)
        axes = tuple(Axis(size, f"@{place}") for place, size in enumerate(known))
        places = [self.expressions.place(item, axis) for item, axis in zip(items, axes, strict=False)]
        if all(isinstance(place, Axis) for place in places):
            return self._indexed(target, items, value)
        old = scope.lookup(syntax.Name(target.name, span=target.name_span))
        tests = [equal_positions(axis, place) for axis, place in zip(old.axes, places, strict=False) if isinstance(place, int)]
        left = {axis: place for axis, place in zip(old.axes, places, strict=False) if isinstance(place, Axis)}
        rest = tuple(left.get(axis, axis) for i, axis in enumerate(old.axes) if i >= len(places) or not isinstance(places[i], int))
        placed = self._meeting(value, positional(Value(Const(0), rest)), rest, target, at)
        back: dict[Axis, Axis | int] = {new: axis for axis, new in left.items() if isinstance(new, Axis)}
        test: Expr | None = None
        for part in tests:
            test = conjunction(test, part)
        assert test is not None
        return Value(where(test, substitute(placed, back), old.expr, span=at.span), old.axes)

    def _meeting(self, value: Value, shape: Value, rest: tuple[Axis, ...], target: syntax.Target, at: syntax.Node) -> Expr:
        """The value for a part of an array, over the axes that the part has in the whole."""
        if value.axes and sorted(map(str, value.sizes)) != sorted(str(axis.size) for axis in rest):
            message = f"this part of `{target.name}` has {shape.describe()}, but the value has {value.describe()}"
            self.scope.fail("E322", message, at.span)
        places: dict[Axis, Axis | int] = {}
        left = list(rest)
        for axis in value.axes:
            match = axis if axis in left else next(other for other in left if other.size == axis.size)
            left.remove(match)
            places[axis] = match
        return substitute(value.expr, places)

    def _indexed(self, target: syntax.Target, items: tuple, value: Value) -> Value:
        """`y[i, j] = value`: the axes in the order of the indices, then what the value has beside them."""
        scope = self.scope
        order = []
        for item in items:
            if not (isinstance(item, syntax.Name) and item.id in scope.indices):
                hint = "it must index something on the right-hand side"
                text = item.span.text
                scope.fail("E317", f"`{text}` is not an index of known size", item.span, hint=hint)
            order.append(scope.indices[item.id])
        if len(set(order)) < len(order):
            scope.fail("E317", "an index stands twice on the left", target.span)
        order += [axis for axis in value.axes if axis not in order]
        loose = [axis for axis in order[len(items) :] if is_index(axis)]
        if loose:
            hint = "what is on the right must be on the left or reduced"
            scope.fail("E319", f"the index `{loose[0].tag}` is on the right, but not on the left", target.span, hint=hint)
        plain = tuple(Axis(axis.size, f"#{axis.tag}") for axis in order)
        return positional(Value(substitute(value.expr, dict(zip(order, plain, strict=True))), plain))

    # --- choice and loops ---

    def _choice(self, node: syntax.If) -> Outcome:
        tests: list[tuple[Value | None, tuple]] = []
        for test, body in node.branches:
            value = self.expressions.condition(test, "`if`")
            if value.axes:
                hint = "`where(condition, a, b)` chooses elementwise"
                self.scope.fail("E375", f"`if` needs a scalar condition, but this has {value.describe()}", test.span, hint=hint)
            if isinstance(value.expr, Const):
                if value.expr.value:
                    tests.append((None, body))
                    break
                continue
            tests.append((self.scope.define("test", value, test.span, temporary=True), body))
        else:
            tests.append((None, node.orelse))
        return self._branches(node, tests)

    def _branches(self, node: syntax.If, tests: list[tuple[Value | None, tuple]]) -> Outcome:
        (test, body), rest = tests[0], tests[1:]
        if test is None:
            return self.run(body) if body else None
        before = dict(self.scope.bound)
        outcome = self.run(body)
        taken, self.scope.bound = self.scope.bound, dict(before)
        other_outcome = self._branches(node, rest)
        other, self.scope.bound = self.scope.bound, dict(before)
        if (outcome is None) != (other_outcome is None):
            hint = "give every branch a `return`"
            self.scope.fail("E376", "one branch returns and another does not", node.span, hint=hint)
        if outcome is not None and other_outcome is not None:
            pairs = zip(outcome, other_outcome, strict=True)
            return tuple(self.calls.choose(test, x, y, node) for x, y in pairs)
        self._merge(node, test, taken, other, before)
        return None

    def _merge(self, node: syntax.If, test: Value, taken: dict, other: dict, before: dict) -> None:
        """After a choice, each name that a branch assigned is one or the other; what one alone made is forgotten."""
        for name in taken:
            x, y = taken[name], other.get(name)
            if y is None or (x is before.get(name) and y is before.get(name)):
                continue
            if x is Poison or y is Poison:
                self.scope.bound[name] = Poison
            else:
                chosen = self.calls.choose(test, x, y, node)
                sizes = self.scope.declared[name].sizes if name in self.scope.declared else None
                self.scope.bound[name] = self.scope.define(name, chosen, node.span, sizes=sizes)

    def _loop(self, node: syntax.For) -> Outcome:
        scope = self.scope
        if isinstance(node.iter, syntax.Call) and node.iter.func.id == "fixpoint":
            scope.fail("E333", "`fixpoint` (implicit steps) is not supported yet", node.iter.span)
        if len(node.names) != 1:
            scope.fail("E377", "a loop has one counter", node.span)
        counter = node.names[0]
        if isinstance(node.iter, syntax.Name) and node.iter.id in scope.sizes and node.iter.id not in scope.constants:
            hint = f"make it a constant of the header, as in `recurrence name({node.iter.id}=2):`"
            scope.fail("E378", f"the size `{node.iter.id}` is not known when compiling", node.iter.span, hint=hint)
        count = self.expressions.whole(node.iter, "the number of rounds")
        if counter.id in scope.bound or counter.id in scope.constants or counter.id in scope.sizes:
            scope.fail("E377", f"the counter `{counter.id}` is a name already", counter.span)
        for value in range(count):
            scope.bound[counter.id] = scalar(Const(value, span=counter.span))
            outcome = self.run(node.body)
            if outcome is not None:
                scope.fail("E376", "`return` inside of a loop", node.span)
        scope.bound.pop(counter.id, None)
        return None

    # --- defs ---

    def expand(self, definition: syntax.Def, args: tuple[Value, ...], node: syntax.Call) -> tuple[Value, ...]:
        """The values that a `def` returns for these arguments; it sees inputs, params and constants beside them."""
        scope = self.scope
        if definition.name in scope.expanding:
            scope.fail("E379", f"`{definition.name}` calls itself", node.span, hint="a `for` repeats a constant number of times")
        outside, indices, renamed = scope.bound, dict(scope.indices), scope.renamed
        scope.bound = {name: value for name, value in scope.visible.items()}
        scope.renamed = dict(renamed)
        scope.expanding.append(definition.name)
        try:
            for arg, value, at in zip(definition.args, args, node.args, strict=True):
                self._bind_argument(arg, value, at)
            scope.indices = {}
            result = self.run(definition.body)
        finally:
            scope.expanding.pop()
            scope.bound, scope.indices, scope.renamed = outside, indices, renamed
        if result is None:
            scope.fail("E380", f"`{definition.name}` returns nothing", definition.name_span, hint="end it with `return ...`")
        return tuple(positional(value) for value in result)

    def _bind_argument(self, arg: syntax.Arg, value: Value, at: syntax.Expr) -> None:
        scope = self.scope
        if arg.dims is not None:
            if len(arg.dims) != len(value.axes):
                shown = f"[{', '.join(map(str, arg.dims))}]"
                scope.fail("E381", f"`{arg.name}` is {shown}, but the argument has {value.describe()}", at.span)
            for dim, axis in zip(arg.dims, value.axes, strict=True):
                known = scope.renamed.get(dim) if isinstance(dim, str) else dim
                if known is not None and known != axis.size and isinstance(dim, int):
                    scope.fail("E381", f"`{arg.name}` has the size {dim} where the argument has `{axis.size}`", at.span)
                if isinstance(dim, str):
                    scope.renamed[dim] = axis.size
        if value.axes and not isinstance(value.expr, Const) and not scope.indices:
            value = scope.define(arg.name, value, at.span, temporary=True)
        scope.bound[arg.name] = value


def assigned(statements: tuple) -> set[str]:
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
            case syntax.For(_, _, body):
                found |= assigned(body)
            case syntax.Declare("output", name, value=value) if value is not None:
                found.add(name)
    return found
