"""Definitions as statements of a kernel: what is stored, and what is computed again wherever it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from recc.ir.build import ZERO
from recc.ir.kernel import Combine
from recc.ir.nodes import (
    Axis,
    Binary,
    Const,
    Expr,
    Fixpoint,
    Fold,
    Let,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    Solve,
    Unary,
    Where,
    Window,
)
from recc.ir.traverse import children, names, nodes, substitute
from recc.passes.tidy import Namer

Role = str  # "let", "update", "output" or "total"

# What operations cost next to an addition, when the choice is between storing a value and computing it again.
COSTS = {"div": 4, "sqrt": 4, "mod": 8, "floordiv": 8, "pow": 30, "atan2": 30, "logaddexp": 30}
CHEAP = frozenset({"neg", "add", "sub", "mul", "max", "min", "relu", "abs", "real", "imag", "not", "and", "or"})
TRANSCENDENTAL = 12


@dataclass(frozen=True)
class Statement:
    """`target[axes] = expr`, combined over the axes `over` and, in a total, over time.

    `expr` is over all these axes; those of one size have tags 0, 1, ... the target's own first. Of a task with several
    results those `beside` the target, and the real parts of each operand; `expr` only says then which task it is."""

    target: str
    axes: tuple[Axis, ...]
    expr: Expr
    combine: Combine = "set"
    over: tuple[Axis, ...] = ()
    role: Role = "let"
    let: Let | None = None
    multiplies: bool = False  # whether it is a product of a block's vectors with a matrix
    beside: tuple[str, ...] = ()
    operands: tuple[tuple[Expr, ...], ...] = ()

    @property
    def space(self) -> frozenset[Axis]:
        return frozenset(self.axes + self.over)

    @property
    def solves(self) -> bool:
        return isinstance(self.expr, Solve)

    @property
    def repeats(self) -> bool:
        return isinstance(self.expr, Fixpoint)

    @property
    def whole(self) -> bool:
        """Whether it is a task of its own on whole arrays, and not one of a nest of loops."""
        return self.solves or self.multiplies or self.repeats

    @property
    def targets(self) -> tuple[str, ...]:
        return (self.target, *self.beside)

    @property
    def read(self) -> tuple[Expr, ...]:
        """The expressions that it is computed from."""
        return tuple(part for operand in self.operands for part in operand) or (self.expr,)


class Program:
    """Statements over stored names; other definitions (`inline`) are computed where they are read."""

    def __init__(
        self,
        lets: Iterable[Let],
        roots: Iterable[Statement],
        exported: Iterable[str],
        products: frozenset[str] = frozenset(),
    ):
        made = {let.name: replace(_statement(let), multiplies=let.name in products) for let in lets}
        self.roots = tuple(roots)
        stored = {name for name, item in made.items() if _is_stored(item)}.union(exported)
        for item in (*made.values(), *self.roots):
            stored |= {ref.name for ref, aligned in placed_refs(item) if not aligned}
        self.inline = {name: item for name, item in made.items() if name not in stored}
        self._costs = {name: sum(map(cost_of, nodes(item.expr))) for name, item in self.inline.items()}
        self._names: dict[int, tuple[Expr, frozenset[str]]] = {}
        self.statements = (*(item for name, item in made.items() if name in stored), *self.roots)

    def reads(self, statement: Statement) -> dict[str, bool]:
        """The stored values that a statement reads, also through definitions that are computed where they are read,
        and whether at the statement's own place alone."""
        found: dict[str, bool] = {}
        seen: set[str] = set()
        waiting = [statement]
        while waiting:
            for ref, aligned in placed_refs(waiting.pop()):
                if ref.name not in self.inline:
                    found[ref.name] = aligned and found.get(ref.name, True)
                elif ref.name not in seen:
                    seen.add(ref.name)
                    waiting.append(self.inline[ref.name])
        return found

    def demand(self, statement: Statement) -> set[str]:
        """The definitions that are computed where a statement reads them."""
        found: set[str] = set()
        waiting = [statement]
        while waiting:
            exprs = waiting.pop().read
            new = {name for expr in exprs for name in self._names_in(expr) if name in self.inline} - found
            found |= new
            waiting += [self.inline[name] for name in new]
        return found

    def _names_in(self, expr: Expr) -> frozenset[str]:
        """The names that an expression reads; walked once, as every nest asks for them again."""
        if id(expr) not in self._names:
            self._names[id(expr)] = expr, names(expr)  # with the expression, so that its identity stays its own
        return self._names[id(expr)][1]

    def cost(self, name: str) -> int:
        """What it costs to compute a definition where it is read."""
        return sum(self._costs[item] for item in self.demand(self.inline[name]) | {name})

    def keep(self, name: str) -> Statement:
        """From now on a definition is stored; its statement."""
        return self.inline.pop(name)


def cost_of(node: Expr) -> int:
    match node:
        case Unary(op) | Binary(op):
            return 1 if op in CHEAP else COSTS.get(op, 1 if isinstance(node, Binary) else TRANSCENDENTAL)
        case Where():
            return 1
        case _:
            return 0


def _statement(let: Let) -> Statement:
    """The statement of a definition; bound axes get tags after those of the definition's own axes."""
    match let.expr:
        case Reduce(op, x, over):
            combine: Combine = op  # pyright: ignore[reportAssignmentType]
            renamed = _tagged(over, let.axes)
            return Statement(let.name, let.axes, _renamed(x, renamed), combine, tuple(renamed.values()), let=let)
        case Fold(x, _, tap):
            renamed = _tagged((tap,), let.axes)
            moved = replace(let.expr, x=_renamed(x, renamed), tap=renamed[tap])
            return Statement(let.name, let.axes, moved, "sum", tuple(renamed.values()), let=let)
        case _:
            return Statement(let.name, let.axes, let.expr, let=let)


def _renamed(expr: Expr, axes: dict[Axis, Axis]) -> Expr:
    places: dict[Axis, Axis | int] = {**axes}
    return substitute(expr, places)


def _tagged(over: tuple[Axis, ...], own: tuple[Axis, ...]) -> dict[Axis, Axis]:
    taken = set(own)
    found: dict[Axis, Axis] = {}
    for axis in over:
        tag = 0
        while Axis(axis.size, tag) in taken:
            tag += 1
        found[axis] = Axis(axis.size, tag)
        taken.add(found[axis])
    return found


def _is_stored(item: Statement) -> bool:
    return bool(item.over) or not item.axes or isinstance(item.expr, Solve)


def placed_refs(item: Statement) -> Iterator[tuple[Ref, bool]]:
    """What a statement reads, and whether it reads it at its own place: at all of its axes, in their order."""
    for expr in item.read:
        yield from _placed(expr, item.space, item.whole)


def _placed(expr: Expr, space: frozenset[Axis], moved: bool) -> Iterator[tuple[Ref, bool]]:
    if isinstance(expr, Ref):
        own = tuple(axis for axis in expr.index if isinstance(axis, Axis))
        yield expr, not moved and len(own) == len(expr.index) and frozenset(own) == space and _is_formal(own)
        return
    inside = moved or isinstance(expr, (Roll, Window, Fold))
    for part in children(expr):
        yield from _placed(part, space, inside)


def _is_formal(axes: tuple[Axis, ...]) -> bool:
    """Whether these are the axes that a definition over them has: equal sizes tagged 0, 1, ... in order."""
    return all(axis.tag == sum(other.size == axis.size for other in axes[:place]) for place, axis in enumerate(axes))


def expand_reductions(recurrence: Recurrence) -> Recurrence:
    """A `logsumexp` as a largest element and a sum; of definitions that are one operation each."""
    namer = Namer({let.name for let in recurrence.lets} | {var.name for var in recurrence.variables})
    lets: list[Let] = []
    for let in recurrence.lets:
        if isinstance(let.expr, Reduce) and let.expr.op == "logsumexp":
            lets += _logsumexp(let, let.expr, namer)
        else:
            lets.append(let)
    return replace(recurrence, lets=tuple(lets))


def _logsumexp(let: Let, expr: Reduce, namer: Namer) -> list[Let]:
    largest = Let(namer(f"{let.name}_max"), let.axes, replace(expr, op="max"), span=let.span)
    peak = largest.ref()
    infinite = Binary("eq", Unary("abs", peak), Const(float("inf")))
    shift = Let(namer(f"{let.name}_shift"), let.axes, Where(infinite, ZERO, peak), span=let.span)
    power = Unary("exp", Binary("sub", expr.x, shift.ref()))
    total = Let(namer(f"{let.name}_sum"), let.axes, Reduce("sum", power, expr.over), span=let.span)
    return [largest, shift, total, replace(let, expr=Binary("add", Unary("log", total.ref()), shift.ref()))]
