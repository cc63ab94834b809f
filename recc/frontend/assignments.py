"""What is done with a value: a name stands for it, a part of a name is replaced, an index equation is completed."""

from __future__ import annotations

from recc.frontend import syntax
from recc.frontend.expressions import Expressions
from recc.frontend.scope import Scope, declared_order
from recc.frontend.values import Value, is_index, positional
from recc.ir.build import equal_positions, where
from recc.ir.logic import conjunction
from recc.ir.nodes import Axis, Const, Expr, Size, Var
from recc.ir.traverse import substitute


class Assignments:
    """Assigns values in a scope."""

    def __init__(self, scope: Scope, expressions: Expressions):
        self.scope = scope
        self.expressions = expressions

    def assign(self, target: syntax.Target, value: Value, at: syntax.Node) -> None:
        """Make a name, or a part of what it holds, stand for a value; `at` is where the value is written."""
        scope, name = self.scope, target.name
        self._assignable(target)
        if target.items is not None:
            value = self._element(target, target.items, value, at)
        loose = [axis for axis in value.axes if is_index(axis)]
        if loose:
            hint = f"write `{name}[{', '.join(str(axis.tag) for axis in loose)}] = ...`, or reduce it"
            scope.fail("E319", f"the index `{loose[0].tag}` is on the right, but not on the left", at.span, hint=hint)
        var = scope.declared.get(name)
        if var is not None:
            value = self.declared(var, value, at)
        scope.lost.discard(name)
        scope.bound[name] = scope.define(name, value, target.span, sizes=None if var is None else var.sizes)

    def declared(self, var: Var, value: Value, at: syntax.Node) -> Value:
        """A value for a declared name: it has the name's axes, in any order, or none."""
        scope, name = self.scope, var.name
        wanted, given = tuple(var.sizes), value.sizes
        distinct = len(set(wanted)) == len(wanted)
        same = sorted(map(str, wanted)) == sorted(map(str, given)) and (distinct or wanted == given)
        if given and not same:
            axes = f"[{', '.join(map(str, wanted))}]"
            what = f"`{name}` is declared with {axes}" if wanted else f"`{name}` is declared without axes"
            hint = f"declare `{name}[{', '.join(map(str, given))}]`"
            if set(wanted) < set(given):
                hint += f", or reduce the value to {axes if wanted else 'a scalar'}"
            scope.fail("E322", f"{what}, but this value has {value.describe()}", at.span, hint=hint)
        if value.kind == "bool":
            self.expressions.needs_number(at, f"`{name}` is a number")
        if value.kind == "complex" and not var.complex:
            hint = f"declare `{name}: complex`, or take `real(...)` of it"
            scope.fail("E323", f"`{name}` is real, but this value is complex", at.span, hint=hint)
        return value

    def target_indices(self, target: syntax.Target) -> None:
        """Give the index names of `y[i, j] = ...` their sizes, as far as the target is known."""
        for item, size in zip(target.items or (), self._sizes_of(target.name), strict=False):
            if isinstance(item, syntax.Name) and self.expressions.is_new(item.id):
                self.expressions.index(item, Axis(size))

    def final(self, value: Value, sizes: tuple[Size, ...], axes: tuple[Axis, ...]) -> Expr:
        """A value over the axes that a declaration has."""
        return substitute(value.expr, dict(zip(declared_order(value, sizes), axes, strict=True)))

    def _sizes_of(self, name: str) -> tuple[Size, ...]:
        if name in self.scope.declared:
            return self.scope.declared[name].sizes
        found = self.scope.bound.get(name)
        return found.sizes if isinstance(found, Value) else ()

    def _assignable(self, target: syntax.Target) -> None:
        scope, name = self.scope, target.name
        what, hint = "", "choose another name"
        if name in scope.constants:
            what = "a constant of the header"
        elif name in scope.sizes:
            what = "a size"
        elif name in scope.defs:
            what = "a function"
        elif name == scope.clock and name in scope.hidden:
            what, hint = "the step number here", "choose another name, or another for the step: `over n` calls it `n`"
        elif name in scope.indices:
            what = "an index of this equation"
        if what:
            scope.fail("E374", f"`{name}` is {what} and cannot be assigned", target.span, hint=hint)

    # --- parts and index equations ---

    def _element(self, target: syntax.Target, items: tuple[syntax.Expr, ...], value: Value, at: syntax.Node) -> Value:
        """The whole value after `S[0] = value`, or what `y[i, j] = value` says of every place."""
        scope = self.scope
        known = self._sizes_of(target.name)
        if known and len(items) > len(known):
            axes = f"[{', '.join(map(str, known))}]"
            scope.fail("E315", f"{len(items)} places are given, but `{target.name}` is {axes}", target.span)
        if not known:
            return self._indexed(target, items, value)
        axes = tuple(Axis(size, f"@{place}") for place, size in enumerate(known))
        places = [self.expressions.place(item, axis) for item, axis in zip(items, axes, strict=False)]
        if all(isinstance(place, Axis) for place in places):
            return self._indexed(target, items, value)
        old = scope.lookup(syntax.Name(target.name, span=target.name_span))
        return self._replaced(target, old, places, value, at)

    def _replaced(
        self, target: syntax.Target, old: Value, places: list[Axis | int], value: Value, at: syntax.Node
    ) -> Value:
        """The old value with the part at fixed places replaced."""
        chosen = dict(zip(old.axes, places, strict=False))
        rest = tuple(place for axis in old.axes if isinstance(place := chosen.get(axis, axis), Axis))
        placed = self._meeting(target, value, rest, at)
        back: dict[Axis, Axis | int] = {place: axis for axis, place in chosen.items() if isinstance(place, Axis)}
        test: Expr | None = None
        for axis, place in chosen.items():
            if isinstance(place, int):
                test = conjunction(test, equal_positions(axis, place))
        assert test is not None, "one of the places is fixed"
        return Value(where(test, substitute(placed, back), old.expr, span=at.span), old.axes)

    def _meeting(self, target: syntax.Target, value: Value, rest: tuple[Axis, ...], at: syntax.Node) -> Expr:
        """The value for a part of an array, over the axes that the part has in the whole."""
        if value.axes and sorted(map(str, value.sizes)) != sorted(str(axis.size) for axis in rest):
            shape = Value(Const(0), rest).describe()
            message = f"`{target.span.text}` is {shape}, but the value has {value.describe()}"
            self.scope.fail("E322", message, at.span, hint="a part is replaced by a value with its axes, or with none")
        if value.kind == "bool":
            self.expressions.needs_number(at, f"`{target.name}` is a number")
        places: dict[Axis, Axis | int] = {}
        left = list(rest)
        for axis in value.axes:
            match = axis if axis in left else next((other for other in left if other.size == axis.size), None)
            if match is None:
                hint = "the same index names stand on both sides"
                self.scope.fail("E319", f"the index `{axis.tag}` does not stand on the left", at.span, hint=hint)
            left.remove(match)
            places[axis] = match
        return substitute(value.expr, places)

    def _indexed(self, target: syntax.Target, items: tuple[syntax.Expr, ...], value: Value) -> Value:
        """`y[i, j] = value`: the axes in the order of the indices, then what the value has beside them."""
        scope = self.scope
        order = []
        for item in items:
            if not isinstance(item, syntax.Name):
                hint = f"assign the whole of it first, as in `{target.name} = 0 * x`"
                scope.fail(
                    "E317", f"`{target.name}` has no parts yet: nothing says how large it is", item.span, hint=hint
                )
            if item.id not in scope.indices:
                hint = "use it as an index on the right-hand side too"
                scope.fail("E317", f"nothing says how far the index `{item.id}` runs", item.span, hint=hint)
            order.append(scope.indices[item.id])
        if len(set(order)) < len(order):
            hint = "`where(i == j, x[i], 0)` is a diagonal matrix"
            scope.fail("E317", "an index stands twice on the left", target.span, hint=hint)
        order += [axis for axis in value.axes if axis not in order]
        loose = [axis for axis in order[len(items) :] if is_index(axis)]
        if loose:
            hint = f"write it on the left, or reduce it, as in `sum(..., axis={loose[0].tag})`"
            message = f"the index `{loose[0].tag}` is on the right, but not on the left"
            scope.fail("E319", message, target.span, hint=hint)
        plain = tuple(Axis(axis.size, f"#{axis.tag}") for axis in order)
        return positional(Value(substitute(value.expr, dict(zip(order, plain, strict=True))), plain))
