"""Forward mode: a recurrence that carries the states' tangents beside the states."""

from __future__ import annotations

from recc.ir.build import ONE, ZERO, binary, div, mul, sub, total, unary, where
from recc.ir.nodes import (
    Arange,
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
    SizeOf,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
)
from recc.ir.traverse import define
from recc.passes.implicit import push_forward
from recc.passes.partials import binary_partials, extremum_share, softmax_weight, unary_partial
from recc.passes.tidy import Namer, flatten, tidy, used_names


def tangent(recurrence: Recurrence) -> Recurrence:
    """The directional derivative of a recurrence, step by step.

    Its inputs are the recurrence's and a tangent `q_dot` for each, likewise its params and its states (states first,
    then tangents); its outputs are the tangents of the outputs alone."""
    flat = flatten(recurrence)
    namer = Namer(used_names(flat))

    def dotted(variables: tuple[Var, ...]) -> tuple[Var, ...]:
        return tuple(Var(namer(f"{var.name}_dot"), var.sizes, var.complex) for var in variables)

    inputs, params = dotted(flat.inputs), dotted(flat.params)
    states = dotted(tuple(state.var for state in flat.states))
    moving = dict(zip((var.name for var in flat.variables), inputs + params + states, strict=True))
    forward = Forward(moving, namer)
    for let in flat.lets:
        forward.define(let)
    return tidy(
        Recurrence(
            name=f"{recurrence.name}_tangent",
            inputs=flat.inputs + inputs,
            params=flat.params + params,
            states=flat.states + tuple(State(var, ZERO) for var in states),
            lets=tuple(forward.lets),
            updates=flat.updates + tuple(forward.derivative(update) or ZERO for update in flat.updates),
            outputs=tuple(
                Output(Var(namer(f"{o.name}_dot"), o.var.sizes, o.var.complex), forward.derivative(o.expr) or ZERO)
                for o in flat.outputs
            ),
            sizes=flat.sizes,
            constants=flat.constants,
        )
    )


def linear_part(
    lets: tuple[Let, ...], results: tuple[Expr, ...], moving: dict[str, Var], namer: Namer
) -> tuple[tuple[Let, ...], tuple[Expr | None, ...]]:
    """The derivative of some results along `moving` (name -> name of its tangent): definitions and expressions.

    A result that does not move is None."""
    stub = Recurrence("part", lets=lets, updates=results)
    flat = flatten(stub, namer)
    forward = Forward(moving, namer)
    for let in flat.lets:
        forward.define(let)
    return tuple(forward.lets), tuple(forward.derivative(update) for update in flat.updates)


class Forward:
    """Definitions with their derivatives beside them; a name without an entry in `moving` does not move."""

    def __init__(self, moving: dict[str, Var], namer: Namer):
        self.lets: list[Let] = []
        self._namer = namer
        self._moving: dict[str, tuple[str, str]] = {name: (var.name, var.kind) for name, var in moving.items()}

    def define(self, let: Let) -> None:
        self.lets.append(let)
        moved = self.derivative(let.expr, let.ref())
        if moved is None or let.kind == "bool":
            return
        missing = tuple(axis for axis in let.axes if axis not in moved.axes)
        for axis in missing:
            moved = Binary("add", moved, Binary("mul", ZERO, Arange(axis)))
        name = self._namer(f"{let.name}_dot")
        self.lets.append(define(name, moved, axes=let.axes, temporary=True))
        self._moving[let.name] = (name, let.kind)

    def derivative(self, expr: Expr, out: Expr | None = None) -> Expr | None:
        """The derivative of one flat operation whose value has the name `out`; None if it does not move."""
        out = expr if out is None else out
        match expr:
            case Const() | SizeOf() | Arange():
                return None
            case Ref(name, index):
                moved = self._moving.get(name)
                return None if moved is None else Ref(moved[0], index, moved[1])  # type: ignore[arg-type]
            case Unary(op, x):
                dx = self.derivative(x)
                return None if dx is None else _unary_tangent(op, x, out, dx)
            case Binary(op, x, y):
                partials = binary_partials(op, x, y, out)
                return _sum(_times(p, self.derivative(part)) for p, part in zip(partials, (x, y), strict=True))
            case Where(test, x, y):
                dx, dy = self.derivative(x), self.derivative(y)
                return None if dx is None and dy is None else where(test, dx or ZERO, dy or ZERO)
            case Reduce(op, x, over):
                dx = self.derivative(x)
                return None if dx is None else _reduce_tangent(op, x, over, out, dx)
            case Solve(matrix, rhs, row, col):
                return self._solve(matrix, rhs, row, col, out)
            case Roll() | Window() | Fold():
                return self._structured(expr)
            case Fixpoint():
                return self._implicit(expr, out)

    def _structured(self, node: Roll | Window | Fold) -> Expr | None:
        dx = self.derivative(node.x)
        match node:
            case _ if dx is None:
                return None
            case Roll(_, axis, shift):
                return Roll(dx, axis, shift)
            case Window(_, axis, tap, wrap):
                return Window(dx, axis, tap, wrap)
            case Fold(_, axis, tap, wrap):
                return Fold(dx, axis, tap, wrap)

    def _implicit(self, node: Fixpoint, out: Expr) -> Expr | None:
        derivatives = ((given.name, self.derivative(given.expr)) for given in node.given)
        moved = {name: derivative for name, derivative in derivatives if derivative is not None}
        if not moved:
            return None
        lets, result = push_forward(node, out, moved, linear_part, self._namer)
        self.lets.extend(lets)
        return result

    def _solve(self, matrix: Expr, rhs: Expr, row: Axis, col: Axis, out: Expr) -> Expr | None:
        moved, d_matrix = self.derivative(rhs), self.derivative(matrix)
        if d_matrix is not None:
            moved = sub(moved or ZERO, total(mul(d_matrix, out), (col,)))
        return None if moved is None else Solve(matrix, moved, row, col)


def _sum(parts) -> Expr | None:
    moving = [part for part in parts if part is not None]
    if len(moving) < 2:
        return moving[0] if moving else None
    return binary("add", *moving)


def _times(partial: Expr | None, moved: Expr | None) -> Expr | None:
    return None if partial is None or moved is None else mul(partial, moved)


def _unary_tangent(op: str, x: Expr, out: Expr, dx: Expr) -> Expr | None:
    if op in ("real", "imag", "conj"):
        return unary(op, dx)
    if op == "abs" and x.kind == "complex":
        size = where(binary("eq", out, ZERO), ONE, out)
        return div(unary("real", mul(unary("conj", x), dx)), size)
    return _times(unary_partial(op, x, out), dx)


def _reduce_tangent(op: str, x: Expr, over: tuple[Axis, ...], out: Expr, dx: Expr) -> Expr | None:
    match op:
        case "sum":
            return total(dx, over)
        case "logsumexp":
            return total(mul(softmax_weight(x, out), dx), over)
        case "max" | "min":
            share = extremum_share(x, out, op)
            count = binary("max", total(share, over), ONE)
            return div(total(mul(share, dx), over), count)
        case _:
            return None
