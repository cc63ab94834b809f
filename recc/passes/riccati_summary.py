"""A stretch of steps of a Riccati recursion is `P -> s A (I + P J)^-1 P A' + C`.

An affine stage takes `(s, A, J)` to `(s g, W A, J)`. A downdate by `u` is `P (I + U P)^-1` with `U = a u u' / r`; as
`U` has rank one, it takes `A` to `A - C u (u' A) a / d` and adds `s (A' u) (A' u)' a / d` to `J`, where `d` is the
step's own denominator at `C`, `r + a u' C u`: no matrix is inverted before the stretch is applied. `C` is what the
stretch makes of zero, so it takes steps as the state itself does. `(X, Y)` with `P = X Y^-1` would be linear, but grows
exponentially."""

from __future__ import annotations

from dataclasses import dataclass

from recc.ir.build import ONE, ZERO, add, div, equal_positions, mul, sub, total, where
from recc.ir.nodes import Axis, Expr, Let, Recurrence, Ref, Solve, State, Var, Where
from recc.ir.traverse import fresh_axis, substitute
from recc.passes.analyse import Component
from recc.passes.riccati import riccati_form
from recc.passes.riccati_steps import Affine, Choice, Downdate, Step
from recc.passes.summary import Part, Summary
from recc.passes.tidy import Namer
from recc.passes.two_sided import applied


@dataclass(frozen=True)
class _Values:
    """The scale, `A` and `J` of a stretch, over the state's axes (`A` and `J` with all of them)."""

    scale: Expr
    A: Ref
    J: Ref


def riccati_summary(whole: Recurrence, component: Component, namer: Namer) -> Summary:
    """The summary of a state that was proved to follow a Riccati recursion; `whole` has all its definitions."""
    (name,) = component.states
    state = next(item for item in whole.states if item.name == name)
    form = riccati_form(whole, name, namer, proved=True)
    return _Writer(state, form.row, form.column, form.lets, namer).summary(form.steps)


class _Writer:
    """Writes the parts' definitions for one more step."""

    def __init__(self, state: State, row: Axis, column: Axis, lets: tuple[Let, ...], namer: Namer) -> None:
        self._var = state.var
        self._row, self._column = row, column
        self._namer = namer
        self._lets = list(lets)

    def summary(self, steps: tuple[Step, ...]) -> Summary:
        var, name = self._var, self._var.name
        rest = tuple(axis for axis in var.axes if axis not in (self._row, self._column))
        whole = [Var(self._namer(f"{letter}_{name}"), var.sizes) for letter in "AJ"]
        scale = Var(self._namer(f"scale_{name}"), tuple(axis.size for axis in rest))
        A, J = (part.ref() for part in whole)
        before = _Values(Ref(scale.name, rest), A, J)
        after = before
        for step in steps:
            after = self._longer(step, after)
        offset = self._namer(f"C_{name}")
        identity = where(equal_positions(self._row, self._column), ONE, ZERO)
        parts = [Part(whole[0], name, identity, after.A), Part(whole[1], name, ZERO, after.J)]
        if after.scale != before.scale:
            own = substitute(after.scale, dict(zip(rest, scale.axes, strict=True)))
            parts.append(Part(scale, name, ONE, own))
        else:
            before = _Values(ONE, A, J)
        value = add(self._through(before), Ref(offset, var.axes))
        return Summary(tuple(parts), tuple(self._lets), {name: value}, {name: (offset, ZERO)})

    def _longer(self, step: Step, values: _Values) -> _Values:
        match step:
            case Affine(_, weights, scale):
                moved = applied(weights, values.A, self._var.axes)
                return _Values(mul(values.scale, scale), self._named("A", moved), values.J)
            case Downdate():
                return self._downdated(step, values)
            case Choice(test, first, second):
                one, other = (self._longer(side, values) for side in (first, second))
                scale = one.scale if one.scale == other.scale else Where(test, one.scale, other.scale)
                chosen = (
                    x if x == y else self._named(letter, Where(test, x, y))
                    for letter, x, y in (("A", one.A, other.A), ("J", one.J, other.J))
                )
                return _Values(scale, *chosen)

    def _downdated(self, step: Downdate, values: _Values) -> _Values:
        row, column, axes = self._row, self._column, self._var.axes

        def at(first: Axis, second: Axis) -> tuple[Axis, ...]:
            return tuple(first if axis == row else second if axis == column else axis for axis in axes)

        def vector(axis: Axis) -> Expr:
            return substitute(step.vector, {step.along: axis})

        weight = div(step.gain, step.below)
        inner = fresh_axis(row)
        moved = total(mul(Ref(step.source, at(row, inner)), vector(inner)), (inner,))  # C u
        seen = total(mul(vector(inner), Ref(values.A.name, at(inner, column))), (inner,))  # u' A
        both = mul(seen, substitute(seen, {column: row}))
        return _Values(
            mul(values.scale, step.scale),
            self._named("A", sub(values.A, mul(mul(moved, weight), seen))),
            self._named("J", add(values.J, mul(mul(values.scale, weight), both))),
        )

    def _named(self, letter: str, expr: Expr) -> Ref:
        """A new value over the state's axes."""
        let = Let(self._namer(f"{letter}_{self._var.name}"), self._var.axes, expr, temporary=True)
        self._lets.append(let)
        return let.ref()

    def _through(self, values: _Values) -> Expr:
        """`s A Y A'` where `(I + P J) Y = P`."""
        row, column, axes = self._row, self._column, self._var.axes
        first, second, third, inner = (fresh_axis(row) for _ in range(4))

        def at(name: str, one: Axis, other: Axis) -> Ref:
            return Ref(name, tuple(one if axis == row else other if axis == column else axis for axis in axes))

        state = self._var.name
        product = total(mul(at(state, first, inner), at(values.J.name, inner, second)), (inner,))
        matrix = add(where(equal_positions(first, second), ONE, ZERO), product)
        solved = Solve(matrix, at(state, first, third), first, second)
        left = total(mul(at(values.A.name, row, second), solved), (second,))
        return mul(values.scale, total(mul(left, at(values.A.name, column, third)), (third,)))
