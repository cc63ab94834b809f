"""`Summary`: what is kept of a stretch of steps, for the states of one component."""

from __future__ import annotations

from dataclasses import dataclass, field

from recc.ir.nodes import Expr, Let, Var


@dataclass(frozen=True)
class Part:
    """One value of a summary. `state` is a state with the same leading dimensions, `neutral` the part's value for no
    step at all and `longer` its value with one more step, both over the part's own axes."""

    var: Var
    state: str
    neutral: Expr
    longer: Expr


@dataclass(frozen=True)
class Summary:
    """The parts of a stretch's summary, and the definitions with which they take one more step.

    A state in `offsets` has an offset as well, which takes steps as the state itself does: the offset's name and the
    value that it starts from. `after` is each state behind the stretch, over the parts, the offsets and the states."""

    parts: tuple[Part, ...]
    lets: tuple[Let, ...]
    after: dict[str, Expr]
    offsets: dict[str, tuple[str, Expr]] = field(default_factory=dict)
