"""`stages` cuts the update of a single state where everything passes through one definition of the state's axes."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from recc.ir.nodes import Expr, Let, Recurrence
from recc.ir.traverse import names


@dataclass(frozen=True)
class Stage:
    """One factor of an update: `expr` is the value at the stage's end, linear in the value named `source`."""

    source: str
    expr: Expr


def stages(recurrence: Recurrence, state: str) -> tuple[Stage, ...]:
    """The stages of an update, in order.

    `S_1 = exp(g) * S; S = S_1 + beta * outer(k, v - k @ S_1)` has two: what the update reads of `S`, it reads through
    `S_1`, which dominates it in the graph of definitions (immediate dominators, Cooper, Harvey, Kennedy 2001)."""
    var = next(item.var for item in recurrence.states if item.name == state)
    end = (state, "end")
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_node(state)
    lets: dict[str, Let] = {}
    for let in recurrence.lets:
        _connect(graph, let.name, let.expr)
        lets[let.name] = let
    _connect(graph, end, recurrence.update_of(state))
    if end not in graph:
        return (Stage(state, recurrence.update_of(state)),)
    cuts = [name for name in _dominators(graph, state, end) if lets[name].axes == var.axes]
    exprs = [*(lets[name].expr for name in cuts), recurrence.update_of(state)]
    return tuple(Stage(source, expr) for source, expr in zip([state, *cuts], exprs, strict=True))


def _connect(graph: nx.DiGraph, name: object, expr: Expr) -> None:
    """Add a definition that depends on the state; others are no part of the graph."""
    graph.add_edges_from((source, name) for source in names(expr) if source in graph)


def _dominators(graph: nx.DiGraph, start: str, end: object) -> list[str]:
    """What lies on every path from the start to the end, both excluded, in order."""
    immediate = nx.immediate_dominators(graph, start)
    found: list[str] = []
    at = immediate[end]
    while at != start:
        found.append(at)
        at = immediate[at]
    return found[::-1]
