"""`riccati_form`: an update of a matrix `P` that is linear-fractional as a whole, as that of a Kalman filter.

A stage is either affine, `P -> s W P W' + Q`, or a downdate, `P -> g (P - a P u u' P / (r + a u' P u))`. Every stretch
of these is `P -> s A (I + P J)^-1 P A' + C`, whatever `P` is. With `g, s, a >= 0`, `r > 0` and a positive semidefinite
`Q`, `C` and `J` are positive semidefinite as well, so that no denominator of a stretch can vanish unless one of its
steps' does: that is what is proved here. (Särkkä, García-Fernández 2021 give the composition of a filter's steps.)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from recc.ir.nodes import Axis, Let, Recurrence
from recc.ir.traverse import names
from recc.passes.chain import stages
from recc.passes.riccati_steps import Affine, Choice, Downdate, NotRiccati, Reader, Step, reads
from recc.passes.schedule import fill_axes
from recc.passes.tidy import Namer, flatten, share
from recc.structures.form import Term


@dataclass(frozen=True)
class Riccati:
    """The stages of an update, in order, over the state's axes `row` and `column`; `lets` are definitions that they
    read beside those of the recurrence, `reads` the variables behind their coefficients."""

    row: Axis
    column: Axis
    steps: tuple[Step, ...]
    lets: tuple[Let, ...]
    reads: frozenset[str]


def riccati_form(recurrence: Recurrence, state: str, namer: Namer | None = None, *, proved: bool = False) -> Riccati:
    """The stages of a real matrix state's update. Raises `NotRiccati` where a stage is not of the two kinds, or where
    what must not be negative cannot be shown not to be; with `proved` that is not asked again.

    What was proved may have got guards since: a denominator that is one where nothing needs the quotient."""
    var = next(item.var for item in recurrence.states if item.name == state)
    pairs = [pair for pair in combinations(var.axes, 2) if pair[0].size == pair[1].size]
    found = NotRiccati(recurrence.update_of(state))
    if var.complex or not pairs:
        raise found
    flat = share(flatten(fill_axes(recurrence), namer))
    own = {let.name for let in recurrence.lets}
    lets = tuple(let for let in flat.lets if let.name not in own)
    for pair in pairs:
        reader = Reader(flat, var.axes, pair, proved)
        steps, refusals = reader.through(stages(flat, state))
        if not refusals:
            return Riccati(*pair, steps, lets, _variables(steps, flat.lets))
        if reader.rational and not found.reason:
            found = next((refusal for refusal in refusals if refusal.reason), found)
    raise found


def _variables(steps: Iterable[Step], lets: tuple[Let, ...]) -> frozenset[str]:
    """The inputs, params and states that stages' coefficients are computed from."""
    known = {let.name: let for let in lets}
    seen: set[str] = set()
    waiting = [name for step in steps for name in reads(step)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += names(known[name].expr) if name in known else ()
    return frozenset(seen - known.keys())


def downdates(form: Riccati) -> int:
    """How many downdates a step has."""
    return sum(isinstance(step, Downdate) for step in _leaves(form.steps))


def dense_factors(form: Riccati) -> int:
    """How many stages multiply with a full matrix."""
    affine = [step for step in _leaves(form.steps) if isinstance(step, Affine)]
    return sum(any(_is_dense(term) for term in step.weights) for step in affine)


def _is_dense(term: Term) -> bool:
    return any(set(f.axes) & set(term.bound) and set(f.axes) - set(term.bound) for f in term.factors)


def _leaves(steps: Sequence[Step]) -> list[Affine | Downdate]:
    found: list[Affine | Downdate] = []
    for step in steps:
        found += _leaves((step.first, step.second)) if isinstance(step, Choice) else [step]
    return found
