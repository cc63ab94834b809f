"""`is_instance`: whether an expression is another one at certain positions of its free axes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from recc.ir.nodes import Axis, Expr, Node, Ref
from recc.ir.traverse import canonical


def is_instance(expr: Expr, pattern: Expr, free: Iterable[Axis] | None = None) -> bool:
    """Whether `expr` is `pattern` with other axes or fixed positions in place of free axes: all, or those given.

    `sum(k[0, i]**2, axis=i)` is an instance of `sum(k[n, i]**2, axis=i)`: what holds everywhere holds there."""
    expr, pattern = canonical(expr), canonical(pattern)
    return _matches(expr, pattern, {}, frozenset(pattern.axes if free is None else free))


def _matches(found: object, wanted: object, places: dict[Axis, object], free: frozenset[Axis]) -> bool:
    if isinstance(wanted, Axis) and wanted in free:
        return places.setdefault(wanted, found) == found
    if isinstance(wanted, tuple) and isinstance(found, tuple):
        return len(wanted) == len(found) and all(
            _matches(one, other, places, free) for one, other in zip(found, wanted, strict=True)
        )
    if not isinstance(wanted, Node) or type(found) is not type(wanted):
        return found == wanted
    names = [field.name for field in fields(wanted) if field.compare]
    if isinstance(wanted, Ref) and isinstance(found, Ref) and found.name != wanted.name:
        return False
    return all(_matches(getattr(found, name), getattr(wanted, name), places, free) for name in names)
