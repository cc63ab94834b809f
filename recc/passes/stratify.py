"""`stratify` orders the states: those that depend on each other form a component, and components form levels."""

from __future__ import annotations

import networkx as nx

from recc.ir.nodes import Recurrence
from recc.ir.traverse import names


def reads(recurrence: Recurrence) -> dict[str, frozenset[str]]:
    """For every state, the states whose value on entry its update depends on, through any definitions."""
    entry = frozenset(recurrence.state_names)
    known: dict[str, frozenset[str]] = {name: frozenset({name}) for name in entry}

    def through(used: frozenset[str]) -> frozenset[str]:
        return frozenset().union(*(known.get(name, frozenset()) for name in used))

    for let in recurrence.lets:
        known[let.name] = through(names(let.expr))
    return {name: through(names(recurrence.update_of(name))) for name in recurrence.state_names}


def stratify(recurrence: Recurrence) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The levels of a recurrence: each is a tuple of components, each component a tuple of state names.

    `m = max(m, i); C = exp(m) * C` gives `((("m",),), (("C",),))`: `C` needs `m`, and nothing feeds back. A component
    depends on itself and on components of earlier levels alone (strongly connected components, Tarjan 1972)."""
    order = {name: place for place, name in enumerate(recurrence.state_names)}
    graph: nx.DiGraph = nx.DiGraph()
    graph.add_nodes_from(order)
    for state, sources in reads(recurrence).items():
        graph.add_edges_from((source, state) for source in sorted(sources, key=order.__getitem__))
    condensed = nx.condensation(graph)
    levels: list[tuple[tuple[str, ...], ...]] = []
    for generation in nx.topological_generations(condensed):
        members = [tuple(sorted(condensed.nodes[node]["members"], key=order.__getitem__)) for node in generation]
        levels.append(tuple(sorted(members, key=lambda states: order[states[0]])))
    return tuple(levels)
