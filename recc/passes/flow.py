"""`Flow`: how the carried states of a component reach a value, and the operations on flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from recc.ir.nodes import Axis


@dataclass(frozen=True)
class Path:
    """One way from a carried state to a value: at each place of the state stands an axis of the value, or None where
    the state is contracted, moved or read at a fixed position."""

    source: str
    index: tuple[Axis | None, ...]


@dataclass(frozen=True)
class Factor:
    """What is known of the coefficient on a path: the axes it differs along, the names that it is computed from, and
    whether it is the algebra's one."""

    along: frozenset[Axis] = frozenset()
    reads: frozenset[str] = frozenset()
    unit: bool = True

    def __or__(self, other: Factor) -> Factor:
        return Factor(self.along | other.along, self.reads | other.reads, False)


Flow = Mapping[Path, Factor]
EXOGENOUS: Flow = MappingProxyType({})


def union(items: Iterable[tuple[Path, Factor]]) -> Flow:
    """All paths; the coefficients of equal paths add up."""
    merged: dict[Path, Factor] = {}
    for path, factor in items:
        merged[path] = merged[path] | factor if path in merged else factor
    return merged


def plus(first: Flow, second: Flow) -> Flow:
    """The flow into a sum."""
    return union([*first.items(), *second.items()])


def differing(flow: Flow, axes: set[Axis]) -> Flow:
    """The flow with coefficients that differ along some axes as well."""
    return {path: factor | Factor(frozenset(axes)) for path, factor in flow.items()}


def scaled(flow: Flow) -> Flow:
    """The flow with a coefficient that is no longer known to be one, but is computed from the same names."""
    return {path: replace(factor, unit=False) for path, factor in flow.items()}


def moved(flow: Flow, axes: set[Axis]) -> Flow:
    """States lose track of the axes; coefficients keep differing along them."""

    def path(old: Path) -> Path:
        return Path(old.source, tuple(None if axis in axes else axis for axis in old.index))

    return union((path(old), factor) for old, factor in flow.items())


def bound(flow: Flow, axes: set[Axis]) -> Flow:
    """The flow into a sum over some axes, of which the result has none."""
    return {path: replace(factor, along=factor.along - axes) for path, factor in moved(flow, axes).items()}


def placed(flow: Flow, places: dict[Axis, Axis | int]) -> Flow:
    """A definition's flow where the definition is read with other axes, or fixed positions, in its places."""
    return union((_path(path, places), _factor(factor, places)) for path, factor in flow.items())


def _path(path: Path, places: dict[Axis, Axis | int]) -> Path:
    def axis(old: Axis | None) -> Axis | None:
        new = places[old] if old is not None else None
        return new if isinstance(new, Axis) else None

    return Path(path.source, tuple(axis(old) for old in path.index))


def _factor(factor: Factor, places: dict[Axis, Axis | int]) -> Factor:
    along = (places[axis] for axis in factor.along)
    return replace(factor, along=frozenset(axis for axis in along if isinstance(axis, Axis)))
