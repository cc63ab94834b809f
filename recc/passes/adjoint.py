"""Reverse mode: the gradient of a recurrence is a recurrence that runs backwards in time."""

from __future__ import annotations

from dataclasses import replace

from recc.ir.build import (
    ONE,
    ZERO,
    binary,
    div,
    mul,
    neg,
    spread,
    unary,
    where,
)
from recc.ir.logic import FALSE, anywhere, conjunction, disjunction, opened, unless_true
from recc.ir.nodes import (
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Output,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
    formal,
)
from recc.ir.traverse import bound_axes, define, names
from recc.passes.implicit import pull_back
from recc.passes.partials import binary_partials, extremum_share, is_linear, softmax_weight, unary_partial
from recc.passes.places import placed, summed, together
from recc.passes.tidy import Namer, flatten, tidy, used_names


def adjoint(recurrence: Recurrence) -> Recurrence:
    """The recurrence of the cotangents, to be run backwards in time.

    Its inputs are the recurrence's inputs, each state on entry to the step (under the state's name) and a cotangent
    `g_o` for each output `o`; its params are the recurrence's; its states `d_S` carry the cotangents of the states,
    from the final state's back to the initial state's; its outputs are the cotangents of the inputs, its totals those
    of the params. Complex cotangents follow torch: dL/dx = dL/d(re x) + i dL/d(im x)."""
    flat = flatten(recurrence)
    namer = Namer(used_names(flat))
    outputs = [Var(namer(f"g_{out.name}"), out.var.sizes, out.var.complex) for out in flat.outputs]
    states = [Var(namer(f"d_{state.name}"), state.var.sizes, state.var.complex) for state in flat.states]
    tape = Tape(flat.lets, namer, {var.name: var for var in flat.variables}, flat.sizes)
    for state, update in zip(states, flat.updates, strict=True):
        tape.seed(update, state.ref())
    for var, out in zip(outputs, flat.outputs, strict=True):
        tape.seed(out.expr, var.ref())
    tape.sweep()

    def results(variables: tuple[Var, ...]) -> tuple[Output, ...]:
        return tuple(
            Output(Var(namer(f"d_{var.name}"), var.sizes, var.complex), tape.cotangent(var)) for var in variables
        )

    entry = tuple(replace(state.var, interval=None) for state in flat.states)
    backward = Recurrence(
        name=f"{recurrence.name}_adjoint",
        inputs=flat.inputs + entry + tuple(outputs),
        params=flat.params,
        states=tuple(State(var, ZERO) for var in states),
        updates=tuple(tape.cotangent(var) for var in entry),
        outputs=results(flat.inputs),
        totals=results(flat.params),
        lets=flat.lets + tuple(tape.lets),
        sizes=flat.sizes,
        constants=flat.constants,
    )
    return tidy(backward)


def gradient(lets: tuple[Let, ...], loss: Expr, wrt: Var, namer: Namer) -> tuple[tuple[Let, ...], Expr | None]:
    """The derivative of a scalar by a name's present value, holding fixed whatever does not come after that value.

    Returns the definitions that it needs and the result over `formal(wrt.sizes)`; None if the loss does not depend
    on the name."""
    stub = Recurrence("loss", lets=lets, outputs=(Output(Var("loss"), loss),))
    flat = flatten(stub, namer)
    tape = Tape(tuple(let for let in flat.lets if let.name != wrt.name), namer, {wrt.name: wrt})
    tape.seed(flat.outputs[0].expr, ONE)
    tape.sweep()
    if not tape.reached(wrt.name):
        return (), None
    own = {let.name for let in lets}
    renamed = [let for let in flat.lets if let.name not in own]
    return tuple(renamed) + tuple(tape.lets), tape.cotangent(wrt)


def pullback(
    lets: tuple[Let, ...], result: Expr, cotangent: Expr, wrt: tuple[Var, ...], namer: Namer
) -> tuple[tuple[Let, ...], tuple[Expr, ...]]:
    """The cotangents of some names from that of a leaf, by a sweep over flat definitions: definitions, expressions."""
    tape = Tape(lets, namer, {var.name: var for var in wrt})
    tape.seed(result, cotangent)
    tape.sweep()
    return tuple(tape.lets), tuple(tape.cotangent(var) for var in wrt)


class Tape:
    """One reverse sweep over flat definitions: collects contributions to each name, last use first.

    A cotangent comes with a mask where it passed a `where`: the side that was not taken must contribute nothing, so
    a product with a partial derivative (which may be infinite there) is only formed under the mask."""

    def __init__(
        self, lets: tuple[Let, ...], namer: Namer, variables: dict[str, Var], sizes: tuple[tuple[str, int], ...] = ()
    ):
        self.lets: list[Let] = []
        self._sizes = dict(sizes)
        self._flat = lets
        self._conditions = {let.name: let for let in lets if let.kind == "bool"}
        self._namer = namer
        self._axes = {let.name: let.axes for let in lets} | {name: formal(v.sizes) for name, v in variables.items()}
        self._kinds = {let.name: let.kind for let in lets} | {name: v.kind for name, v in variables.items()}
        self._parts: dict[str, list[Expr]] = {}
        self._masks: dict[str, Expr | None] = {}
        self._depends = self._dependents(variables)

    def _dependents(self, variables: dict[str, Var]) -> set[str]:
        reached = set(variables)
        for let in self._flat:
            if names(let.expr) & reached:
                reached.add(let.name)
        return reached

    def reached(self, name: str) -> bool:
        return name in self._parts

    def seed(self, expr: Expr, cotangent: Expr) -> None:
        """Start from a leaf and its cotangent, over the leaf's own axes plus those that it is constant along."""
        self._collect(expr, cotangent, cotangent.axes, None)

    def sweep(self) -> None:
        for let in reversed(self._flat):
            if let.name in self._parts:
                self._propagate(let)

    def cotangent(self, var: Var) -> Expr:
        """What was collected for a variable: an expression over its axes, which may lack some."""
        parts = self._parts.get(var.name)
        return together(parts, self._sizes) if parts else ZERO

    def _propagate(self, let: Let) -> None:
        g = together(self._parts[let.name], self._sizes)
        if not isinstance(g, Ref):
            axes = tuple(axis for axis in let.axes if axis in g.axes)  # so that no square matrix is transposed
            named = define(self._namer(f"d_{let.name}"), g, axes=axes, temporary=True)
            self.lets.append(named)
            g = Ref(named.name, axes, named.kind)
        mask = self._masks[let.name]
        if isinstance(let.expr, Fixpoint):
            self._propagate_implicit(let, let.expr, g, mask)
            return
        for place, (part, contribution, test) in enumerate(self._contributions(let.expr, let.ref(), g)):
            given = tuple(axis for axis in let.axes if axis not in summed_axes(let.expr, place))
            scope = given + tuple(axis for axis in bound_axes(let.expr) if axis not in given)
            reached = None if mask is None else moved_mask(mask, let.expr)
            active = unless_true(conjunction(reached, test) if test is not None else reached)
            if active is not None and not is_linear(let.expr) and test is None:
                contribution = where(active, contribution, ZERO)
            if active != FALSE:
                self._collect(part, contribution, scope, active)

    def _propagate_implicit(self, let: Let, node: Fixpoint, g: Expr, mask: Expr | None) -> None:
        """Every place of a solution depends on every other: it is of use where any of it is."""
        extra = tuple(axis for axis in let.axes if axis not in node.index)
        lets, contributions = pull_back(node, let.ref(), summed(g, extra, self._sizes), pullback, self._namer)
        self.lets.extend(lets)
        active = Reduce("any", mask, mask.axes) if mask is not None and mask.axes else mask
        for given, contribution in zip(node.given, contributions, strict=True):
            if active is not None:
                contribution = where(active, contribution, ZERO)
            self._collect(given.expr, contribution, given.axes, active)

    def _collect(self, leaf: Expr, contribution: Expr, scope: tuple[Axis, ...], mask: Expr | None) -> None:
        """Add a contribution over `scope` to the leaf's name, over the name's own axes."""
        if not isinstance(leaf, Ref) or leaf.name not in self._depends or self._kinds[leaf.name] == "bool":
            return
        if self._kinds[leaf.name] != "complex":
            contribution = unary("real", contribution)
        over = tuple(axis for axis in scope if axis not in leaf.axes)
        value = placed(leaf, self._axes[leaf.name], summed(contribution, over, self._sizes), ZERO)
        self._parts.setdefault(leaf.name, []).append(value)
        if mask is not None:
            mask = unless_true(placed(leaf, self._axes[leaf.name], anywhere(mask, over, self._sizes), FALSE))
        if leaf.name in self._masks:
            mask = disjunction(self._masks[leaf.name], mask)
        self._masks[leaf.name] = mask

    def _contributions(self, expr: Expr, out: Ref, g: Expr) -> list[tuple[Expr, Expr, Expr | None]]:
        """(part, contribution, condition under which the part matters) for each part of one operation."""
        match expr:
            case Unary():
                return [(expr.x, c, None) for c in _unary_contribution(expr, out, g)]
            case Binary(op, x, y):
                partials = zip((x, y), binary_partials(op, x, y, out), strict=True)
                return [(part, _times(g, partial), None) for part, partial in partials if partial is not None]
            case Where(test, x, y):
                chosen = opened(test, self._conditions)
                return [(x, where(chosen, g, ZERO), chosen), (y, where(chosen, ZERO, g), unary("not", chosen))]
            case Reduce(op, x, over):
                return [(x, c, None) for c in _reduce_contribution(op, x, over, out, g)]
            case Roll(x, axis, shift):
                return [(x, Roll(spread(g, (axis,)), axis, -shift), None)]
            case Window(x, axis, tap, wrap):
                return [(x, Fold(spread(g, (axis, tap)), axis, tap, wrap), None)]
            case Fold(x, axis, tap, wrap):
                return [(x, Window(spread(g, (axis,)), axis, tap, wrap), None)]
            case Solve(matrix, rhs, row, col):
                back = Solve(unary("conj", matrix), spread(g, (col,)), col, row)
                return [(rhs, back, None), (matrix, neg(mul(back, unary("conj", out))), None)]
            case _:
                return [(expr, g, None)]


def summed_axes(expr: Expr, place: int) -> tuple[Axis, ...]:
    """The axes of an operation that one of its contributions has summed over itself."""
    match expr:
        case Window(_, _, tap):
            return (tap,)
        case Solve(_, _, _, col) if place == 0:
            return (col,)
        case _:
            return ()


def moved_mask(mask: Expr, expr: Expr) -> Expr:
    """Where an operand matters, from where the result does, for the operations that move values along an axis."""
    shown = where(mask, ONE, ZERO)
    match expr:
        case Roll(_, axis, shift) if axis in mask.axes:
            shown = Roll(shown, axis, -shift)
        case Window(_, axis, tap, wrap) if axis in mask.axes or tap in mask.axes:
            shown = Fold(spread(shown, (axis, tap)), axis, tap, wrap)
        case Fold(_, axis, tap, wrap) if axis in mask.axes:
            shown = Window(shown, axis, tap, wrap)
        case Solve(_, _, _, col) if col in mask.axes:
            return Reduce("any", mask, (col,))
        case _:
            return mask
    return binary("gt", shown, ZERO)


def _times(g: Expr, partial: Expr) -> Expr:
    return mul(g, unary("conj", partial))


def _unary_contribution(node: Unary, out: Ref, g: Expr) -> list[Expr]:
    x = node.x
    match node.op:
        case "real":
            return [unary("real", g)]
        case "imag":
            return [mul(Const(1j), unary("real", g))]
        case "conj":
            return [unary("conj", g)]
        case "abs" if x.kind == "complex":
            size = where(binary("eq", out, ZERO), ONE, out)
            return [mul(unary("real", g), div(x, size))]
        case op:
            partial = unary_partial(op, x, out)
            return [] if partial is None else [_times(g, partial)]


def _reduce_contribution(op: str, x: Expr, over: tuple[Axis, ...], out: Ref, g: Expr) -> list[Expr]:
    match op:
        case "sum":
            return [g]
        case "logsumexp":
            return [mul(g, softmax_weight(x, out))]
        case "max" | "min":
            share = extremum_share(x, out, op)
            count = binary("max", Reduce("sum", share, over), ONE)
            return [mul(share, div(g, count))]
        case _:
            return []
