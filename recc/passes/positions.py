"""`at_position`: what is read at a fixed position, where only that position counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Fold, Reduce, Ref, Roll, Unary, Where, Window
from recc.ir.traverse import children, rebuild


def at_position(choice: Where, axes: Mapping[str, tuple[Axis, ...]]) -> Expr:
    """The first side of a choice, with names read along the axis that the choice fixes.

    In `where(l == 0, S[0] + x, S)` the side taken at `l == 0` may as well read `S[l]`: an element update leaves every
    axis in its place. `axes` has the axes of the names that this is to be done for."""
    match choice.test:
        case Binary("eq", Arange(axis), Const(place)) | Binary("eq", Const(place), Arange(axis)):
            return _along(choice.x, axis, place, axes)
        case _:
            return choice.x


def _along(expr: Expr, axis: Axis, place: object, axes: Mapping[str, tuple[Axis, ...]]) -> Expr:
    match expr:
        case Ref(name, index) if name in axes:
            pairs = zip(index, axes[name], strict=True)
            return replace(expr, index=tuple(axis if own == axis and item == place else item for item, own in pairs))
        case Reduce(_, _, over) if axis in over:
            return expr
        case Roll(_, own) | Window(_, own, _) | Fold(_, own, _) if axis == own:
            return expr
        case Unary() | Binary() | Where() | Reduce() | Roll() | Window() | Fold():
            return rebuild(expr, tuple(_along(part, axis, place, axes) for part in children(expr)))
        case _:
            return expr
