"""`recognise` finds the most specific structure of a form."""

from __future__ import annotations

from recc.structures import (
    block,
    constant,
    coupled,
    dense,
    diagonal,
    diagonal_low_rank,
    identity,
    identity_low_rank,
    scalar,
)
from recc.structures.base import Structure
from recc.structures.form import Form

# From the special to the general; the last two hold everything.
_FAMILIES = (constant, identity, scalar, diagonal, identity_low_rank, diagonal_low_rank, block, coupled, dense)


def recognise(form: Form) -> Structure:
    """The first family that has the form: constant, identity, scalar, diagonal, with low rank, block, dense."""
    return next(found for family in _FAMILIES if (found := family.recognise(form)) is not None)
