"""Axes of all definitions in one order, so that values meet without being transposed."""

from __future__ import annotations

from dataclasses import replace

from recc.ir.nodes import Axis, Expr, Let, Recurrence, Ref, Size
from recc.ir.traverse import map_exprs, rewrite


def order_axes(recurrence: Recurrence, ranks: dict[Size, int]) -> Recurrence:
    """The same recurrence with the axes of every definition sorted by the rank of their sizes.

    With K before V, `d_S[V, K] = ...` becomes `d_S[K, V] = ...`; a definition with one size twice stays as it is."""
    places = {let.name: _sorted_places(let, ranks) for let in recurrence.lets}

    def rule(node: Expr) -> Expr:
        if isinstance(node, Ref) and node.name in places:
            return replace(node, index=tuple(node.index[place] for place in places[node.name]))
        return node

    moved = map_exprs(recurrence, lambda expr: rewrite(expr, rule))
    return replace(moved, lets=tuple(replace(let, axes=_moved(let, places[let.name])) for let in moved.lets))


def _sorted_places(let: Let, ranks: dict[Size, int]) -> list[int]:
    every = list(range(len(let.axes)))
    if len({axis.size for axis in let.axes}) < len(let.axes):
        return every
    return sorted(every, key=lambda place: ranks.get(let.axes[place].size, len(ranks)))


def _moved(let: Let, places: list[int]) -> tuple[Axis, ...]:
    return tuple(let.axes[place] for place in places)
