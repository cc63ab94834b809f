"""What an analysis finds: proofs, refusals, and the components that they are about."""

from __future__ import annotations

from dataclasses import dataclass

from recc.ir.nodes import Expr, Fixpoint
from recc.passes.axes import AxisClass
from recc.passes.conditions import Condition
from recc.passes.dependence import Jacobian
from recc.passes.drivers import Driver
from recc.passes.fractional import Fraction
from recc.passes.ranges import Range
from recc.passes.riccati import Riccati
from recc.passes.smoothness import Kind
from recc.structures.algebra import REAL
from recc.structures.base import Structure
from recc.structures.constant import Constant
from recc.structures.diagonal import Diagonal
from recc.structures.identity import Identity
from recc.structures.polynomial import Polynomial
from recc.structures.scalar import Scalar

SEQUENTIAL_HINT = "`--method sequential` accepts it"


@dataclass(frozen=True)
class Rank:
    """What a step adds to a state has at most rank `rank`, as a matrix between the axes at `rows` and that at `column`,
    for every position of its other axes; zero if nothing is added."""

    state: str
    rows: tuple[int, ...]
    column: int
    rank: Polynomial


@dataclass(frozen=True)
class Part:
    """A factor of a transition, and what its values are computed from."""

    structure: Structure
    driver: Driver
    states: tuple[str, ...]


@dataclass(frozen=True)
class Proof:
    """A component's update is linear in its carried states, in `algebra`, with a transition of a known structure.

    `axes` says for every axis of every state whether the transition is the same along it ("batched"), differs along it
    ("scaled") or crosses it ("mixed"); `invariant`, whether the transition is the same at every step; `coefficient`,
    the range of what multiplies every element in place; `fraction`, the 2x2 matrix of an update that is
    linear-fractional in every element; `riccati`, the stages of one that is so in a matrix.
    `driver` says what the transition is computed from, `states` from which states of other components. `eigenvalue` is
    the range of a low-rank factor's eigenvalues apart from one. `homogeneous`: nothing is added; else `sources` has
    bounds of the rank of what is added. `conditions`: when a single state is kept or reset."""

    algebra: str
    structure: Structure
    axes: dict[str, tuple[AxisClass, ...]]
    invariant: bool
    complex: bool = False
    coefficient: Range | None = None
    fraction: Fraction | None = None
    riccati: Riccati | None = None
    driver: Driver = "inputs"
    states: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    eigenvalue: Range | None = None
    homogeneous: bool = False
    sources: tuple[Rank, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def in_place(self) -> bool:
        """Whether every element is multiplied by a factor where it stands."""
        return isinstance(self.structure, (Scalar, Diagonal)) and self.algebra == REAL.name

    @property
    def log_space(self) -> bool:
        """Whether the transition may be kept as a cumulative logarithm: it acts in place and is provably positive."""
        known = self.coefficient is not None and self.coefficient.positive
        return self.in_place and known and not self.complex

    @property
    def commuting(self) -> bool:
        """Whether the transitions of any two steps commute."""
        return self.fraction is None and self.riccati is None and (self.invariant or self.structure.commuting)

    @property
    def text(self) -> str:
        """One line, e.g. "time-invariant diagonal decay over D, in (0, 1)"."""
        changing = not isinstance(self.structure, (Identity, Constant))
        prefix = "" if self.algebra == REAL.name else f"{self.algebra} "
        lasting = "time-invariant " if self.invariant and changing else ""
        facts = ", complex" if self.complex else ""
        if self.coefficient is not None and not self.complex and self.coefficient.low >= 0:
            decay = "" if isinstance(self.structure, (Scalar, Diagonal)) else "decay "
            facts = f", {decay}{self.coefficient.text}"
        return f"{prefix}{lasting}{self.structure.text}{facts}"


@dataclass(frozen=True)
class Refusal:
    """No algebra was found in which `state` has a linear update; `culprit` is the smallest expression at fault.

    `kind` is what kind of function the component's update is, `jacobian` which elements can depend on which."""

    culprit: Expr
    reason: str
    state: str
    algebra: str
    hint: str = SEQUENTIAL_HINT
    kind: Kind = Kind("general")
    jacobian: Jacobian | None = None

    @property
    def text(self) -> str:
        """One line, e.g. "nonlinear (piecewise affine), elementwise over D: diagonal Jacobian"."""
        kind = "" if self.kind.text == "nonlinear" else f" ({self.kind.text.removeprefix('nonlinear').strip(', ')})"
        what = "implicit" if isinstance(self.culprit, Fixpoint) else "nonlinear"
        return f"{what}{kind}" + (f", {self.jacobian.text}" if self.jacobian is not None else "")


@dataclass(frozen=True)
class Feed:
    """A state of an earlier component that is read. `linear`: the update is linear in it and in the component's own
    states together; `autonomous`: no input ever reaches it, as the number of the step."""

    state: str
    linear: bool
    autonomous: bool


@dataclass(frozen=True)
class Given:
    """What is left of a component when some of its states are known. `held`: these are states that stand still between
    certain steps; otherwise each of the components is what is left when all the others are known."""

    known: tuple[str, ...]
    components: tuple[Component, ...]
    held: bool

    @property
    def proved(self) -> bool:
        return all(isinstance(component.verdict, Proof) for component in self.components)


@dataclass(frozen=True)
class Component:
    """States that depend on each other, and what was found out about them."""

    states: tuple[str, ...]
    verdict: Proof | Refusal
    feeds: tuple[Feed, ...] = ()
    given: Given | None = None


@dataclass(frozen=True)
class Analysis:
    """The components of a recurrence by level: a component depends on itself and on earlier levels alone."""

    levels: tuple[tuple[Component, ...], ...]

    @property
    def components(self) -> tuple[Component, ...]:
        return tuple(component for level in self.levels for component in level)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(item.verdict for item in self.components if isinstance(item.verdict, Refusal))
