"""`kronecker` finds transitions that act on some axes apart from others: a Kronecker product of smaller ones.

`S = merge levels L of S; S = S - beta * outer(k, k @ S)` mixes L in one stage and K in another. What is done along L
commutes with what is done along K, so a stretch of steps needs an L x L and a K x K matrix, and not the product."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from recc.ir.nodes import Axis, Recurrence, Var
from recc.passes.axes import axis_classes
from recc.passes.chain import Stage, stages
from recc.passes.split import split
from recc.passes.structure import flow_of
from recc.passes.terms import Expansion
from recc.structures.algebra import REAL, Algebra


@dataclass(frozen=True)
class Share:
    """Axes of a state, and the stages of its update that act along these axes alone, in order."""

    axes: frozenset[Axis]
    stages: tuple[Stage, ...]


def kronecker(recurrence: Recurrence, var: Var, algebra: Algebra) -> tuple[Share, ...]:
    """The factors of a state's transition, one for each group of axes that no stage joins; at most one if there is
    nothing to be gained, or if the stages cannot be written out. A stage without axes belongs to the first."""
    touched: list[tuple[Stage, frozenset[Axis]]] = []
    for stage in stages(recurrence, var.name):
        axes = _touched(recurrence, var, stage, algebra)
        if axes is None:
            return ()
        touched.append((stage, axes))
    joined: nx.Graph = nx.Graph()
    for _, axes in touched:
        nx.add_path(joined, [axis for axis in var.axes if axis in axes])
    groups = [frozenset(group) for group in nx.connected_components(joined)]
    return tuple(
        Share(group, tuple(stage for stage, axes in touched if axes <= group and (axes or group == groups[0])))
        for group in groups
    )


def _touched(recurrence: Recurrence, var: Var, stage: Stage, algebra: Algebra) -> frozenset[Axis] | None:
    """The axes that one stage mixes, or along which its coefficients differ."""
    terms = Expansion({stage.source: var.axes}, recurrence.lets, algebra).of(stage.expr)
    if terms is None:
        return None
    if algebra is REAL:
        terms = split(terms, {let.name: let for let in recurrence.lets})
    (classes,) = axis_classes({var.name: var}, {var.name: flow_of(var, terms)}).values()
    return frozenset(axis for axis, found in zip(var.axes, classes, strict=True) if found != "batched")
