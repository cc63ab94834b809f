"""Cotangents of parts of an array: put in their places, read from them, and put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recc.ir.build import ZERO, add, equal_positions, is_const, total
from recc.ir.logic import conjunction
from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Ref, Where
from recc.ir.traverse import substitute

Sizes = Mapping[str, int]


def placed(leaf: Ref, own: tuple[Axis, ...], value: Expr, outside: Expr) -> Expr:
    """From the axes that a leaf's index names to the name's own: `outside` beside a fixed place or a diagonal."""
    places: dict[Axis, Axis | int] = {}
    tests: list[Expr] = []
    for axis, item in zip(own, leaf.index, strict=True):
        if isinstance(item, int):
            tests.append(equal_positions(axis, item))
        elif item in places:
            tests.append(equal_positions(axis, places[item]))
        else:
            places[item] = axis
    value = substitute(value, places)
    for test in tests:
        value = conjunction(test, value) if outside.kind == "bool" else Where(test, value, outside)
    return value


def summed(value: Expr, over: tuple[Axis, ...], sizes: Sizes) -> Expr:
    """A sum over axes; one of which a single place counts is read there."""
    match value:
        case Where(Binary("eq", Arange(axis), Const(int(place))), Ref() as x, zero) if (
            axis in over and is_const(zero, 0) and place in range(_extent(axis, sizes))
        ):
            return summed(substitute(x, {axis: place}), tuple(other for other in over if other != axis), sizes)
        case _:
            return total(value, over)


def together(parts: list[Expr], sizes: Sizes) -> Expr:
    """The sum of values of which some are zero beside one place of an axis, or at it.

    `where(i == 0, a, 0) + where(i == 0, 0, b)` is `where(i == 0, a, b)`, and where two places are all that an axis
    has, `where(i == 0, a, 0) + where(i == 1, b, 0)` is `where(i == 0, a, b)`."""
    plain: list[Expr] = []
    found: dict[Axis, dict[int, _Place]] = {}
    for part in parts:
        match part:
            case Where(Binary("eq", Arange(axis), Const(int(place))), x, y) if is_const(x, 0) or is_const(y, 0):
                here = found.setdefault(axis, {}).setdefault(place, _Place())
                here.inside += [] if is_const(x, 0) else [x]
                here.outside += [] if is_const(y, 0) else [y]
            case _:
                plain.append(part)
    for axis, places in found.items():
        plain += _along(axis, places, sizes)
    result = plain[0] if plain else ZERO
    for part in plain[1:]:
        result = add(result, part)
    return result


@dataclass
class _Place:
    """What is added at a place, and beside it."""

    inside: list[Expr] = field(default_factory=list)
    outside: list[Expr] = field(default_factory=list)


def _along(axis: Axis, places: dict[int, _Place], sizes: Sizes) -> list[Expr]:
    """The values that are added along one axis."""
    every = list(range(_extent(axis, sizes)))
    if sorted(places) == every and not any(place.outside for place in places.values()):
        values = [together(places[place].inside, sizes) for place in every]
        result = values[-1]
        for place in reversed(every[:-1]):
            result = Where(equal_positions(axis, place), values[place], result)
        return [result] if len(every) > 1 else [Where(equal_positions(axis, 0), result, ZERO)]
    return [
        _chosen(axis, place, together(here.inside, sizes), together(here.outside, sizes))
        for place, here in places.items()
    ]


def _chosen(axis: Axis, place: int, inside: Expr, outside: Expr) -> Expr:
    """`where(axis == place, inside, outside)`, which is `outside` if that is what it reads there."""
    if substitute(outside, {axis: place}) == inside:
        return outside
    return Where(equal_positions(axis, place), inside, outside)


def _extent(axis: Axis, sizes: Sizes) -> int:
    """The number of places of an axis, 0 if it is not known."""
    return sizes.get(axis.size, 0) if isinstance(axis.size, str) else axis.size
