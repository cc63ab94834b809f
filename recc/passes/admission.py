"""`admissions`: which ways to solve a recurrence its proofs admit, whether they are built yet or not, and why."""

from __future__ import annotations

from dataclasses import dataclass

from recc.passes.verdicts import Analysis, Component, Proof, Refusal
from recc.structures.algebra import REAL
from recc.structures.base import Structure
from recc.structures.diagonal import Diagonal
from recc.structures.diagonal_low_rank import DiagonalLowRank
from recc.structures.identity import Identity
from recc.structures.identity_low_rank import IdentityLowRank
from recc.structures.product import Product
from recc.structures.scalar import Scalar


@dataclass(frozen=True)
class Admission:
    """A method by name, whether the proofs admit it, and the reason."""

    name: str
    admitted: bool
    reason: str


def admissions(analysis: Analysis) -> tuple[Admission, ...]:
    """Every method's admission, e.g. chunkwise for a matrix state whose source has low rank."""
    return (
        Admission("sequential", True, "one step after the other is what a recurrence means"),
        _scan(analysis),
        _convolution(analysis),
        _chunkwise(analysis),
        _newton(analysis),
    )


def _scan(analysis: Analysis) -> Admission:
    for refusal in analysis.refusals:
        return Admission("scan", False, f"`{refusal.state}` is not linear in any algebra: {refusal.reason}")
    return Admission("scan", True, "the steps of every component are closed under composition")


def _convolution(analysis: Analysis) -> Admission:
    for component in analysis.components:
        states, verdict = _states(component), component.verdict
        if isinstance(verdict, Refusal):
            return Admission("convolution", False, f"`{verdict.state}` is not linear: {verdict.reason}")
        if verdict.algebra != REAL.name:
            return Admission("convolution", False, f"{states}: {verdict.algebra}, not (+,x)")
        if not verdict.invariant:
            return Admission("convolution", False, f"{states}: the transition is not the same at every step")
    return Admission("convolution", True, "every transition is linear and the same at every step")


def _chunkwise(analysis: Analysis) -> Admission:
    chunked, waiting = [], []
    for component in analysis.components:
        inner = component.given.components if component.given is not None and component.given.held else ()
        if inner and all(isinstance(item.verdict, Proof) for item in inner):
            waiting += list(component.given.known) if component.given is not None else []
            chunked += [item for item in inner if _is_chunked(item)]
        elif isinstance(component.verdict, Refusal):
            return Admission(
                "chunkwise", False, f"`{component.verdict.state}` is not linear: {component.verdict.reason}"
            )
        elif _is_chunked(component):
            chunked.append(component)
    if not chunked:
        return Admission("chunkwise", False, _why_not_chunkwise(analysis))
    found = ", ".join(f"{_states(item)}: {_source_text(item)}" for item in chunked)
    until = f", in chunks that end where {_listed(waiting)} may change" if waiting else ""
    return Admission("chunkwise", True, f"each step adds few products of vectors ({found}){until}")


def _is_chunked(component: Component) -> bool:
    """A single matrix state that a chunk's inputs enter as separable products, and whose transitions compose in the
    factors they are made of: in place, or low-rank beside the identity or a diagonal."""
    verdict = component.verdict
    if not isinstance(verdict, Proof) or len(component.states) > 1 or verdict.algebra != REAL.name:
        return False
    return any(source.rank.terms for source in verdict.sources) and _composes(verdict.structure)


def _composes(structure: Structure) -> bool:
    if isinstance(structure, Product):
        return all(map(_composes, structure.factors))
    return isinstance(structure, (Identity, Scalar, Diagonal, IdentityLowRank, DiagonalLowRank))


def _why_not_chunkwise(analysis: Analysis) -> str:
    for component in analysis.components:
        verdict = component.verdict
        if isinstance(verdict, Proof) and any(source.rank.terms for source in verdict.sources):
            return f"{_states(component)}: no compact form is known for products of {verdict.structure.text}"
    return "no state is a matrix to which each step adds a product of vectors"


def _newton(analysis: Analysis) -> Admission:
    if not analysis.refusals:
        return Admission("newton", False, "nothing is nonlinear: a scan is exact")
    for refusal in analysis.refusals:
        if not refusal.kind.continuous:
            return Admission(
                "newton", False, f"the update of `{refusal.state}` jumps, so its slope does not lead anywhere"
            )
    costs = (f"`{r.state}` has a {r.jacobian.cost}" for r in analysis.refusals if r.jacobian is not None)
    return Admission("newton", True, f"every nonlinear update has a slope: {', '.join(costs)}")


def _states(component: Component) -> str:
    return _listed(list(component.states))


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _source_text(component: Component) -> str:
    assert isinstance(component.verdict, Proof)
    return " and ".join(f"rank {source.rank}" for source in component.verdict.sources if source.rank.terms)
