"""The rank of terms that cross axes: how many separable products of a row vector and a column vector they are."""

from __future__ import annotations

from recc.ir.nodes import Axis, Expr, Ref, Size
from recc.ir.traverse import canonical, substitute
from recc.structures.form import Form, Term
from recc.structures.polynomial import Polynomial


def rank_of(form: Form) -> Polynomial | None:
    """An upper bound of the rank of the crossing terms between the mixed axes, None if some term is not separable.

    `-beta[] * k[i] * k[j] * S[j]` summed over `j` has rank 1, with a further bound axis `r` in `k[r, i] * k[r, j]`
    the size of `r`. Terms that share all their row vectors, or all their column vectors, count once. Of a term that
    leaves one of the mixed axes in its place, the rank between all of them is not small: None."""
    if any(term.index[place] == form.axes[place] for term in form.crossing for place in form.layout.mixed):
        return None
    split = [separated(form, term) for term in form.crossing]
    if not split or any(parts is None for parts in split):
        return None
    rows = {(parts[0], parts[2]) for parts in split if parts}
    columns = {(parts[1], parts[2]) for parts in split if parts}
    fewest = min(rows, columns, key=len)
    return sum((Polynomial.product(sizes) for _, sizes in sorted(fewest, key=lambda item: str(item[1]))), Polynomial())


def separated(form: Form, term: Term) -> tuple[frozenset[Expr], frozenset[Expr], tuple[Size, ...]] | None:
    """The row factors and the column factors of a term, and the sizes of axes that are summed beside."""
    passed = [place for place, axis in enumerate(form.axes) if term.index[place] == axis]
    rows = {axis for place, axis in enumerate(form.axes) if place not in passed}
    columns: dict[Axis, Axis | int] = {}
    for place, axis in enumerate(term.index):
        if place in passed or isinstance(axis, int):
            continue
        if axis in columns or axis not in term.bound:
            return None
        columns[axis] = Axis(axis.size, f"column {place}")
    inner = {axis for factor in term.factors for axis in factor.axes} & (set(term.bound) - columns.keys())
    sides: tuple[list[Expr], list[Expr]] = ([], [])
    for factor in term.factors:
        reads_column = bool(columns.keys() & set(factor.axes))
        if reads_column and rows & set(factor.axes):
            return None
        sides[reads_column].append(canonical(substitute(factor, _renamed(columns, inner, term))))
    fixed = [f"{place}: {axis}" for place, axis in enumerate(term.index) if isinstance(axis, int)]
    extra = tuple(axis.size for axis in term.bound if axis in inner)
    return frozenset(sides[0]), frozenset([*sides[1], *map(_marker, fixed)]), extra


def _renamed(columns: dict[Axis, Axis | int], inner: set[Axis], term: Term) -> dict[Axis, Axis | int]:
    order = [axis for axis in term.bound if axis in inner]
    return {**columns, **{axis: Axis(axis.size, f"inner {place}") for place, axis in enumerate(order)}}


def _marker(text: str) -> Expr:
    """A name that no user can write, which tells fixed positions apart."""
    return Ref(text)
