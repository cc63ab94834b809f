"""`recognise` finds the most specific structure of a form."""

from __future__ import annotations

from recc.structures import (
    block,
    block_low_rank,
    constant,
    coupled,
    dense,
    diagonal,
    diagonal_low_rank,
    identity,
    identity_low_rank,
    pencil,
    scalar,
    scaled_matrix,
)
from recc.structures.base import Structure
from recc.structures.form import Form

# From the special to the general; the last two hold everything.
_FAMILIES = (
    constant,
    identity,
    scalar,
    diagonal,
    identity_low_rank,
    diagonal_low_rank,
    pencil,
    scaled_matrix,
    block,
    block_low_rank,
    coupled,
    dense,
)


def recognise(form: Form) -> Structure:
    """The first family that has the form, e.g. the identity before a scalar, and that before a diagonal."""
    return next(found for family in _FAMILIES if (found := family.recognise(form)) is not None)
