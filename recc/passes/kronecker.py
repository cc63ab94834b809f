"""`kronecker` finds transitions that act on some axes apart from others: a Kronecker product of smaller ones.

`S = merge levels L of S; S = S - beta * outer(k, k @ S)` mixes L in one stage and K in another. What is done along L
commutes with what is done along K, so a stretch of steps needs an L x L and a K x K matrix, and not the product."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from recc.ir.nodes import Axis, Recurrence, Ref, Var
from recc.passes.axes import axis_classes
from recc.passes.chain import Stage, stages
from recc.passes.split import split
from recc.passes.structure import flow_of
from recc.passes.terms import Expansion
from recc.passes.two_sided import applied, two_sided
from recc.structures.algebra import REAL, Algebra
from recc.structures.form import Term


@dataclass(frozen=True)
class Share:
    """Axes of a state, and the stages of its update that act along these axes alone, in order."""

    axes: frozenset[Axis]
    stages: tuple[Stage, ...]


def kronecker(recurrence: Recurrence, whole: Recurrence, var: Var, algebra: Algebra) -> tuple[Share, ...]:
    """The factors of a state's transition, one for each group of axes that no stage joins; at most one if there is
    nothing to be gained, or if the stages cannot be written out. A stage without axes belongs to the first.

    A stage that joins two axes is taken apart if it is two-sided; `whole` has all definitions behind the recurrence."""
    touched = _Touched(recurrence, whole, var, algebra).of(stages(recurrence, var.name))
    if touched is None:
        return ()
    joined: nx.Graph = nx.Graph()
    for _, axes in touched:
        nx.add_path(joined, [axis for axis in var.axes if axis in axes])
    groups = [frozenset(group) for group in nx.connected_components(joined)]
    return tuple(
        Share(group, tuple(stage for stage, axes in touched if axes <= group and (axes or group == groups[0])))
        for group in groups
    )


class _Touched:
    """The stages of an update with the axes that they mix, or along which their coefficients differ."""

    def __init__(self, recurrence: Recurrence, whole: Recurrence, var: Var, algebra: Algebra) -> None:
        self._var = var
        self._algebra = algebra
        self._known = recurrence.lets
        self._lets = {let.name: let for let in whole.lets}

    def of(self, passed: tuple[Stage, ...]) -> list[tuple[Stage, frozenset[Axis]]] | None:
        """None if a stage cannot be written out."""
        found: list[tuple[Stage, frozenset[Axis]]] = []
        waiting = list(passed)
        while waiting:
            stage = waiting[0]
            terms = self._terms(stage)
            if terms is None:
                return None
            axes = self._axes(terms)
            apart, count = self._sides(waiting) if len(axes) == 2 and self._algebra is REAL else ([], 1)
            found += apart or [(stage, axes)]
            del waiting[:count]
        return found

    def _terms(self, stage: Stage) -> tuple[Term, ...] | None:
        terms = Expansion({stage.source: self._var.axes}, self._known, self._algebra).of(stage.expr)
        return split(terms, self._lets) if terms is not None and self._algebra is REAL else terms

    def _axes(self, terms: tuple[Term, ...]) -> frozenset[Axis]:
        var = self._var
        (classes,) = axis_classes({var.name: var}, {var.name: flow_of(var, terms)}).values()
        return frozenset(axis for axis, found in zip(var.axes, classes, strict=True) if found != "batched")

    def _sides(self, waiting: list[Stage]) -> tuple[list[tuple[Stage, frozenset[Axis]]], int]:
        """The fewest of some stages, from the first, that are two-sided together: what they do along one axis, what
        along the other, and how many they are. (A value may stand transposed between two stages.)"""
        var, source = self._var, waiting[0].source
        value = Ref(source, var.axes, var.kind)
        for count, stage in enumerate(waiting, 1):
            terms = self._terms(Stage(source, stage.expr))
            if not terms:
                break
            axes = self._axes(terms)
            pair = tuple(axis for axis in var.axes if axis in axes)
            if len(pair) < 2:
                return [(Stage(source, applied(terms, value, var.axes)), axes)], count
            found = two_sided(terms, var.axes, pair, self._lets) if len(pair) == 2 else None
            if found is not None:
                sides = zip((found.left, found.right), pair, strict=True)
                return [
                    (Stage(source, applied(side, value, var.axes)), frozenset({axis})) for side, axis in sides
                ], count
        return [], 1
