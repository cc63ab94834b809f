"""Fixed points: the step of one as a closed scope, and derivatives of its solution, which are fixed points again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from recc.ir.build import ZERO, add, refold
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Let,
    Recurrence,
    Reduce,
    Ref,
    SizeOf,
    Var,
    Where,
    formal,
)
from recc.ir.traverse import canonical, inline, map_exprs, names, rewrite, substitute, symbolic_sizes
from recc.passes.tidy import Namer, drop_unused, flatten, merge, merge_temporaries, share, used_names

# The linear equations of derivatives start from nothing, a solution from a state that is often near it.
MORE_ROUNDS = 2

Lets = tuple[Let, ...]
LinearPart = Callable[[Lets, tuple[Expr, ...], dict[str, Var], Namer], tuple[Lets, tuple[Expr | None, ...]]]
Pullback = Callable[[Lets, Expr, Expr, tuple[Var, ...], Namer], tuple[Lets, tuple[Expr, ...]]]


@dataclass(frozen=True)
class Ending:
    """When the repetition of a step ends: see `Fixpoint`."""

    tolerance: float
    rounds: int
    relative: bool = False


def close(
    unknown: Var,
    start: Expr,
    lets: Lets,
    result: Expr,
    ending: Ending,
    namer: Namer,
    around: Mapping[str, tuple[Axis, ...]] | None = None,
) -> tuple[Lets, Fixpoint]:
    """The fixed point of `unknown = result`, and the definitions that are outside of it.

    Definitions that do not depend on the unknown are made once, before, and so are parts of the others; what the rest
    reads of other names is handed to it. With the axes of the names `around` it, definitions are kept in one piece.
    The result and the start are over the unknown's axes."""
    split = around is None
    work = drop_unused(Recurrence("step", lets=lets, updates=(_whole(result, unknown),)))
    if split:
        work = map_exprs(merge_temporaries(work), lambda expr: rewrite(expr, _taken_apart))
        work = drop_unused(share(flatten(work, namer, products=True)))
    fixed, inside = _dealt(work.lets, unknown.name, split)
    inside, (result,) = merge(inside, work.updates)
    closing = _Closing({unknown.name} | {let.name for let in inside}, namer, around or {})
    inside = tuple(replace(let, expr=closing.closed(let.expr)) for let in inside)
    result = closing.closed(result)
    known = {size for sizes in (unknown.sizes, *closing.sizes()) for size in sizes}
    inside = tuple(replace(let, expr=closing.sized(let.expr, known)) for let in inside)
    result = closing.sized(result, known)
    if not split:
        inside = tuple(replace(let, temporary=False) for let in inside)
    plain, given = replace(unknown, interval=None), tuple(closing.given.values())
    rest = (ending.tolerance, ending.rounds, ending.relative)
    return fixed, Fixpoint(plain, canonical(_whole(start, unknown)), given, inside, result, unknown.axes, *rest)


def _whole(result: Expr, unknown: Var) -> Expr:
    """The result with the axes that it is constant along."""
    for axis in unknown.axes:
        if axis not in result.axes:
            result = Binary("add", result, Binary("mul", ZERO, Arange(axis)))
    return result


def _taken_apart(expr: Expr) -> Expr:
    """A sum over products as sums of each, of which some may be the same in every round."""
    match expr:
        case Reduce("sum", Binary("add" | "sub" as op, x, y), over) if set(over) <= set(x.axes) & set(y.axes):
            sides = (_taken_apart(Reduce("sum", side, over, span=expr.span)) for side in (x, y))
            return Binary(op, *sides, span=expr.span)
        case _:
            return expr


def _dealt(lets: Lets, unknown: str, split: bool) -> tuple[Lets, Lets]:
    """The definitions that do not depend on the unknown, and those that do; with `split`, plain numbers are in both."""
    moving = {unknown}
    numbers: dict[str, Let] = {}
    fixed: list[Let] = []
    inside: list[Let] = []
    for let in lets:
        read = names(let.expr)
        if read & moving:
            moving.add(let.name)
            inside.append(replace(let, expr=inline(let.expr, numbers)))
            continue
        fixed.append(let)
        if split and read <= numbers.keys():
            numbers[let.name] = replace(let, expr=inline(let.expr, numbers))
    return tuple(fixed), tuple(inside)


class _Closing:
    """Gives what a step reads of its surroundings names inside of it."""

    def __init__(self, own: set[str], namer: Namer, around: Mapping[str, tuple[Axis, ...]]) -> None:
        self.given: dict[object, Let] = {}
        self._own = own
        self._namer = namer
        self._around = around

    def sizes(self) -> Iterable[tuple]:
        return (tuple(axis.size for axis in let.axes) for let in self.given.values())

    def closed(self, expr: Expr) -> Expr:
        return canonical(rewrite(rewrite(expr, self._read), refold))

    def sized(self, expr: Expr, known: set) -> Expr:
        """With sizes that no value inside has handed to it as numbers and positions."""
        missing = symbolic_sizes(expr) - known

        def rule(node: Expr) -> Expr:
            match node:
                case SizeOf(size) if size in missing:
                    return self._hand(node, f"size_{size}", node).ref()
                case Arange(axis) if axis.size in missing:
                    own = Axis(axis.size)
                    return replace(self._hand(own, f"at_{axis.size}", Arange(own)).ref(), index=(axis,))
                case _:
                    return node

        return rewrite(expr, rule) if missing else expr

    def _read(self, node: Expr) -> Expr:
        """What is selected from a name is selected outside, unless the whole of it is known."""
        if not isinstance(node, Ref) or node.name in self._own:
            return node
        if node.name in self._around:
            axes = self._around[node.name]
            self.given.setdefault(node.name, Let(node.name, axes, Ref(node.name, axes, node.kind)))
            return node
        axes = tuple(item for item in node.index if isinstance(item, Axis))
        places = tuple(item if isinstance(item, int) else None for item in node.index)
        own = formal(tuple(axis.size for axis in axes))
        rest = iter(own)
        index = tuple(next(rest) if place is None else place for place in places)
        fixed = "".join(f"_{place}" for place in places if place is not None)
        key = (node.name, places)
        if key not in self.given:
            name = self._namer(f"{node.name}{fixed}") if fixed else node.name
            self.given[key] = Let(name, own, Ref(node.name, index, node.kind))
        return Ref(self.given[key].name, axes, node.kind, span=node.span)

    def _hand(self, key: object, base: str, expr: Expr) -> Let:
        if key not in self.given:
            self.given[key] = Let(self._namer(base), formal(tuple(axis.size for axis in expr.axes)), expr)
        return self.given[key]


def split_fixpoints(recurrence: Recurrence) -> Recurrence:
    """The recurrence with everything out of its fixed points that is the same in every round."""
    if not any(isinstance(let.expr, Fixpoint) for let in recurrence.lets):
        return recurrence
    namer = Namer(used_names(recurrence))
    lets: list[Let] = []
    for let in recurrence.lets:
        if isinstance(node := let.expr, Fixpoint):
            given = {own.name: own for own in node.given}
            inside = tuple(replace(own, expr=inline(own.expr, given)) for own in node.lets)
            ending = Ending(node.tolerance, node.rounds, node.relative)
            fixed, closed = close(node.unknown, node.start, inside, inline(node.result, given), ending, namer)
            lets += fixed
            let = replace(let, expr=replace(closed, index=node.index, span=node.span))
        lets.append(let)
    return replace(recurrence, lets=tuple(lets))


def solved_where(node: Fixpoint, needed: Expr) -> Fixpoint:
    """The fixed point that stays at its start where nothing needs any of it: there it need not converge."""
    namer = Namer({node.unknown.name, *(let.name for let in (*node.given, *node.lets))})
    test = Let(namer("needed"), (), Reduce("any", needed, needed.axes) if needed.axes else needed)
    result = Where(test.ref(), node.result, node.unknown.ref())
    return replace(node, given=(*node.given, test), result=result)


@dataclass(frozen=True)
class _Opened:
    """A fixed point's step at its solution, as flat definitions under names of their own outside."""

    node: Fixpoint
    handed: Lets
    unknown: Var
    given: tuple[Var, ...]
    lets: Lets
    result: Expr


def _open(node: Fixpoint, out: Expr, namer: Namer) -> _Opened:
    """`out` is the solution, over the axes of the node's index."""
    names_of = {name: namer(name) for name in (node.unknown.name, *(let.name for let in (*node.given, *node.lets)))}

    def renamed(expr: Expr) -> Expr:
        return rewrite(expr, lambda leaf: replace(leaf, name=names_of[leaf.name]) if isinstance(leaf, Ref) else leaf)

    unknown = replace(node.unknown, name=names_of[node.unknown.name])
    solution = substitute(out, dict(zip(node.index, unknown.axes, strict=True)))
    handed = [Let(unknown.name, unknown.axes, solution, temporary=True)]
    handed += [replace(let, name=names_of[let.name], temporary=True) for let in node.given]
    given = [Var(let.name, tuple(axis.size for axis in let.axes), let.kind == "complex") for let in handed[1:]]
    lets = tuple(replace(let, name=names_of[let.name], expr=renamed(let.expr), temporary=True) for let in node.lets)
    flat = flatten(Recurrence("step", lets=lets, updates=(renamed(node.result),)), namer)
    return _Opened(node, tuple(handed), unknown, tuple(given), flat.lets, flat.updates[0])


def _ending(node: Fixpoint) -> Ending:
    """A derivative is linear in what it is taken along: when to end must not depend on how large that is."""
    return Ending(node.tolerance, node.rounds if node.relative else MORE_ROUNDS * node.rounds, relative=True)


def pull_back(
    node: Fixpoint, out: Expr, cotangent: Expr, pullback: Pullback, namer: Namer
) -> tuple[Lets, tuple[Expr, ...]]:
    """Cotangents of what a fixed point is given, each over its own axes, from that of its solution `out`.

    With `y = F(y, x)`: `u = cotangent + (dF/dy)^T u` is a fixed point again, and `(dF/dx)^T u` the result (implicit
    function theorem; Bai, Kolter, Koltun 2019, eq. 10). The start gets nothing."""
    step = _open(node, out, namer)
    own = substitute(cotangent, dict(zip(node.index, step.unknown.axes, strict=True)))
    adjoint = Var(namer(f"adjoint_{node.unknown.name}"), node.unknown.sizes, node.unknown.complex)
    lets, (through,) = pullback(step.lets, step.result, adjoint.ref(), (step.unknown,), namer)
    fixed, solved = close(adjoint, own, lets, add(own, through), _ending(node), namer)
    solution = Let(adjoint.name, adjoint.axes, solved, temporary=True)
    last, results = pullback(step.lets, step.result, adjoint.ref(), step.given, namer)
    return (*step.handed, *step.lets, *fixed, solution, *last), results


def push_forward(
    node: Fixpoint, out: Expr, moved: Mapping[str, Expr], linear_part: LinearPart, namer: Namer
) -> tuple[Lets, Expr]:
    """The tangent of a fixed point's solution `out`, from the tangents `moved` of some of what it is given.

    With `y = F(y, x)`: `v = (dF/dy) v + (dF/dx) x_dot` is a fixed point again."""
    step = _open(node, out, namer)
    tangent = Var(namer(f"{node.unknown.name}_dot"), node.unknown.sizes, node.unknown.complex)
    moving, dots = {step.unknown.name: tangent}, []
    for let, var in zip(node.given, step.given, strict=True):
        if let.name in moved:
            moving[var.name] = replace(var, name=namer(f"{let.name}_dot"))
            dots.append(Let(moving[var.name].name, var.axes, _whole(moved[let.name], var), temporary=True))
    lets, (through,) = linear_part(step.lets, (step.result,), moving, namer)
    start: Expr = Const(0j) if tangent.complex else ZERO
    if tangent.complex and tangent.axes:
        start = Binary("mul", start, Arange(tangent.axes[0]))
    fixed, solved = close(tangent, start, lets, ZERO if through is None else through, _ending(node), namer)
    solution = Let(tangent.name, tangent.axes, solved, temporary=True)
    result = Ref(tangent.name, node.index, tangent.kind)
    return (*step.handed, *dots, *fixed, solution), result
