"""Cleaning: `tidy` gives an equal recurrence in which nothing is computed twice, in vain, or without need of a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from recc.ir.build import refold
from recc.ir.nodes import COMPARISONS, LOGICAL, Axis, Binary, Const, Expr, Fixpoint, Let, Recurrence, Reduce, Ref, Unary
from recc.ir.traverse import canonical, children, define, inline, map_exprs, names, nodes, rebuild, rewrite

# A temporary is merged into its one use while the merged expression stays this small.
LARGEST_MERGED = 12


class Namer:
    """Gives names that are not taken yet: `S`, `S_1`, `S_2`."""

    def __init__(self, taken: Iterable[str] = ()):
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def __call__(self, base: str) -> str:
        name, number = base, self._last.get(base, 0)
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        self._last[base] = number
        return name


def used_names(recurrence: Recurrence) -> set[str]:
    """Every name that a new one must not take."""
    taken = {var.name for var in recurrence.variables}
    taken |= {size for var in recurrence.variables for size in var.sizes if isinstance(size, str)}
    taken |= {let.name for let in recurrence.lets} | {out.name for out in recurrence.outputs + recurrence.totals}
    for let in recurrence.lets:
        if isinstance(let.expr, Fixpoint):
            taken |= {let.expr.unknown.name, *(own.name for own in let.expr.given + let.expr.lets)}
    return taken | {name for name, _ in recurrence.sizes} | {name for name, _ in recurrence.constants}


def tidy(recurrence: Recurrence) -> Recurrence:
    """Merge equal computations, drop unused ones, fold constants, and put single-use temporaries into their use.

    `x1 = exp(g); x2 = x1 * S; x3 = exp(g)` becomes `x2 = exp(g) * S`.
    """
    recurrence = drop_unused(merge_temporaries(recurrence))
    recurrence = map_exprs(recurrence, lambda expr: rewrite(expr, refold))
    recurrence = drop_unused(share(flatten(recurrence)))
    recurrence = merge_temporaries(recurrence)
    return map_exprs(recurrence, lambda expr: canonical(rewrite(expr, refold)))


def roots(recurrence: Recurrence) -> tuple[Expr, ...]:
    """The expressions that a step is computed for."""
    results = tuple(item.expr for item in recurrence.outputs + recurrence.totals)
    return recurrence.updates + results


def expressions(recurrence: Recurrence) -> tuple[Expr, ...]:
    """All that a step computes: its definitions, and what it is computed for."""
    return (*(let.expr for let in recurrence.lets), *roots(recurrence))


def names_read(recurrence: Recurrence) -> frozenset[str]:
    """The names that a step reads anywhere."""
    return frozenset().union(*map(names, expressions(recurrence)))


def drop_unused(recurrence: Recurrence, read: Iterable[str] = ()) -> Recurrence:
    """Remove definitions that nothing reads; `read` are names that something else does."""
    needed = set(read).union(*(names(root) for root in roots(recurrence)))
    kept: list[Let] = []
    for let in reversed(recurrence.lets):
        if let.name in needed:
            kept.append(let)
            needed |= names(let.expr)
    return replace(recurrence, lets=tuple(reversed(kept)))


def flatten(recurrence: Recurrence, namer: Namer | None = None, *, products: bool = False) -> Recurrence:
    """Give every inner operation a name, so that each definition is one operation on names and numbers.

    With `products`, a product that is summed at once stays inside of its sum: it is one matrix product."""
    namer = Namer(used_names(recurrence)) if namer is None else namer
    lets: list[Let] = []

    def leaf(expr: Expr) -> Expr:
        if not children(expr):
            return expr
        let = define(namer(_base_name(expr)), operation(expr), temporary=True)
        lets.append(let)
        return Ref(let.name, expr.axes, expr.kind, span=expr.span)

    def operation(expr: Expr) -> Expr:
        if products and isinstance(expr, Reduce) and expr.op == "sum":
            return rebuild(expr, (factors(expr.x),))
        return rebuild(expr, tuple(leaf(part) for part in children(expr)))

    def factors(expr: Expr) -> Expr:
        is_product = isinstance(expr, Binary) and expr.op == "mul"
        return rebuild(expr, tuple(factors(part) for part in children(expr))) if is_product else leaf(expr)

    def skeleton(expr: Expr) -> Expr:
        if isinstance(expr, Reduce) and expr.op == "sum":
            return operation(expr)
        is_sum = isinstance(expr, Binary) and expr.op in ("add", "sub") or isinstance(expr, Unary) and expr.op == "neg"
        return rebuild(expr, tuple(skeleton(part) for part in children(expr))) if is_sum else factors(expr)

    for let in recurrence.lets:
        flat = replace(let, expr=canonical(operation(let.expr)))
        lets.append(flat)
    updates = tuple(leaf(update) for update in recurrence.updates)
    outputs = tuple(replace(item, expr=leaf(item.expr)) for item in recurrence.outputs)
    whole = skeleton if products else leaf
    totals = tuple(replace(item, expr=canonical(whole(item.expr))) for item in recurrence.totals)
    return replace(recurrence, lets=tuple(lets), updates=updates, outputs=outputs, totals=totals)


# What a temporary is called after, where the operation's own name would not do.
NOUNS = {"add": "sum", "sub": "diff", "mul": "prod", "div": "ratio", "neg": "minus", "sum": "total", "not": "other"}


def _base_name(expr: Expr) -> str:
    """A name that says what a temporary is: the operation that makes it."""
    op = getattr(expr, "op", type(expr).__name__.lower())
    return NOUNS.get(op, "test" if op in COMPARISONS | LOGICAL else "chosen" if op == "where" else op)


def adopt_names(recurrence: Recurrence) -> Recurrence:
    """Call a temporary as a definition does that only renames it: `x1 = exp(g); decay = x1` is `decay = exp(g)`."""
    temporary = {let.name: let for let in recurrence.lets if let.temporary}
    names_of: dict[str, Let] = {}
    for let in recurrence.lets:
        made = temporary.get(let.expr.name) if isinstance(let.expr, Ref) else None
        if made is not None and not let.temporary and let.expr.index == let.axes == made.axes:  # type: ignore[union-attr]
            names_of.setdefault(made.name, let)
    if not names_of:
        return recurrence

    def rule(node: Expr) -> Expr:
        known = isinstance(node, Ref) and node.name in names_of
        return replace(node, name=names_of[node.name].name) if known else node  # type: ignore[union-attr]

    dropped = {let.name for let in names_of.values()}
    kept = (
        replace(names_of[let.name], expr=let.expr) if let.name in names_of else let
        for let in recurrence.lets
        if let.name not in dropped
    )
    return map_exprs(replace(recurrence, lets=tuple(kept)), lambda expr: rewrite(expr, rule))


def share(recurrence: Recurrence) -> Recurrence:
    """Compute equal definitions once; a temporary that only renames another value goes as well."""
    recurrence = adopt_names(recurrence)
    known: dict[tuple[tuple[Axis, ...], Expr], Let] = {}
    replaced: dict[str, Let] = {}
    kept: list[Let] = []

    def current(expr: Expr) -> Expr:
        present = {name: replaced[name] for name in names(expr) if name in replaced}
        return canonical(rewrite(inline(expr, present), refold)) if present else expr

    for let in recurrence.lets:
        let = replace(let, expr=canonical(rewrite(current(let.expr), refold)))
        twin = known.setdefault((let.axes, let.expr), let)
        whole = set(let.expr.axes) == set(let.axes)
        if let.temporary and whole and isinstance(let.expr, (Ref, Const)):
            replaced[let.name] = let
        elif let.temporary and twin is not let:
            replaced[let.name] = replace(let, expr=twin.ref())
        else:
            kept.append(let)
    return map_exprs(replace(recurrence, lets=tuple(kept)), current)


def merge_temporaries(recurrence: Recurrence) -> Recurrence:
    """Put a temporary that is used once into its use, unless that would make the use hard to read."""
    results = (*recurrence.updates, *(item.expr for item in recurrence.outputs + recurrence.totals))
    kept, merged = merge(recurrence.lets, results)
    count, outs = len(recurrence.updates), len(recurrence.outputs)
    rest = merged[count:]
    return replace(
        recurrence,
        lets=kept,
        updates=merged[:count],
        outputs=tuple(replace(item, expr=expr) for item, expr in zip(recurrence.outputs, rest[:outs], strict=True)),
        totals=tuple(replace(item, expr=expr) for item, expr in zip(recurrence.totals, rest[outs:], strict=True)),
    )


def merge(
    lets: tuple[Let, ...], results: tuple[Expr, ...], exported: frozenset[str] = frozenset()
) -> tuple[tuple[Let, ...], tuple[Expr, ...]]:
    """Definitions and results with single-use temporaries put into their use; `exported` names are used elsewhere."""
    uses: Counter[str] = Counter()
    for expr in tuple(let.expr for let in lets) + results:
        uses.update(node.name for node in nodes(expr) if isinstance(node, Ref))
    waiting: dict[str, Let] = {}
    kept: list[Let] = []

    def merged(expr: Expr) -> Expr:
        return inline(expr, {name: waiting[name] for name in names(expr) if name in waiting})

    for let in lets:
        let = replace(let, expr=merged(let.expr))
        single = let.temporary and uses[let.name] == 1 and let.name not in exported
        if single and set(let.expr.axes) == set(let.axes) and _small(let.expr):
            waiting[let.name] = let
        else:
            kept.append(let)
    return tuple(kept), tuple(merged(result) for result in results)


def _small(expr: Expr) -> bool:
    return not isinstance(expr, Fixpoint) and sum(1 for _ in nodes(expr)) <= LARGEST_MERGED
