"""`axis_classes`: how the transition of a component acts along each axis of each of its states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import networkx as nx

from recc.ir.nodes import Var
from recc.passes.flow import Factor, Flow, Path

AxisClass = Literal["batched", "scaled", "mixed"]
Place = tuple[str, int]


def axis_classes(states: Mapping[str, Var], flows: Mapping[str, Flow]) -> dict[str, tuple[AxisClass, ...]]:
    """The class of every axis of every state of a component, given the flow into each state's update.

    "batched": the transition is the same all along the axis and does not cross it; "scaled": it does not cross it, but
    its coefficients differ along it; "mixed": it may read other positions, also of other states. An axis that is not
    mixed stands for one axis, of the same name, of every state of the component; the class holds for all of them."""
    same: nx.Graph = nx.Graph()
    same.add_nodes_from((name, place) for name, var in states.items() for place in range(len(var.sizes)))
    mixed: set[Place] = set()
    along: set[Place] = set()
    for name, flow in flows.items():
        for path, factor in flow.items():
            _follow(states[name], path, factor, same, mixed, along)
    classes: dict[Place, AxisClass] = {}
    for group in nx.connected_components(same):
        named = {states[name].axes[place] for name, place in group}
        crossed = bool(group & mixed) or len(named) > 1 or not _once_each(group, flows)
        classes.update(dict.fromkeys(group, "mixed" if crossed else "scaled" if group & along else "batched"))
    return {name: tuple(classes[name, place] for place in range(len(var.sizes))) for name, var in states.items()}


def _follow(var: Var, path: Path, factor: Factor, same: nx.Graph, mixed: set[Place], along: set[Place]) -> None:
    """Record what one path does with the axes of its source and of the state that it updates."""
    own = {axis: (var.name, place) for place, axis in enumerate(var.axes)}
    passed = [axis for axis in path.index if axis is not None]
    for place, axis in enumerate(path.index):
        if axis is None or passed.count(axis) > 1 or axis not in own:
            mixed.add((path.source, place))
        else:
            same.add_edge((path.source, place), own[axis])
    mixed.update(target for axis, target in own.items() if passed.count(axis) != 1)
    along.update(own[axis] for axis in factor.along if axis in own)


def _once_each(group: set[Place], flows: Mapping[str, Flow]) -> bool:
    """Whether a group of identified places has exactly one place of every state that takes part in the transition."""
    present = [name for name, _ in group]
    taking_part = {name for name, flow in flows.items() if flow} | {p.source for flow in flows.values() for p in flow}
    return sorted(present) == sorted(taking_part) or (len(present) == 1 and not taking_part)
