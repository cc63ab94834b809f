"""`facts`: sentences that explain what was found out about a component."""

from __future__ import annotations

from collections.abc import Iterable

from recc.diagnostics import NOWHERE
from recc.ir.nodes import Expr, Size, Unary
from recc.ir.printer import show_expr
from recc.passes.axes import AxisClass
from recc.passes.conditions import Condition
from recc.passes.verdicts import Component, Proof, Rank, Refusal
from recc.structures.polynomial import Polynomial

NOTHING = Polynomial()


def facts(component: Component) -> tuple[str, ...]:
    """Axes, cost of composing steps, what the transition depends on, what is added, and whether logarithms will do."""
    verdict = component.verdict
    if isinstance(verdict, Refusal):
        return _feeding(component)
    found = [*_axes(verdict), _composition(verdict), *_driven(verdict), *_feeding(component), *_added(verdict)]
    found += [condition_text(condition) for condition in verdict.conditions]
    return (*found, *_algebraic(verdict))


def condition_text(condition: Condition) -> str:
    """For example "reset where `t % C == 0`"."""
    match condition.test:
        case Unary("not", test):
            return f"{condition.kind} unless `{shown(test)}`"
        case test:
            return f"{condition.kind} where `{shown(test)}`"


def shown(expr: Expr) -> str:
    """An expression as the user wrote it."""
    return expr.span.text if expr.span.source is not NOWHERE.source else show_expr(expr)


def _axes(proof: Proof) -> list[str]:
    meaning = {"batched": "is the same along", "scaled": "differs along", "mixed": "crosses"}
    sizes = proof.structure.layout.sizes
    if len(proof.axes) > 1 or not sizes:
        return []
    (classes,) = proof.axes.values()
    found = [f"{verb} {_listed(sizes, classes, kind)}" for kind, verb in meaning.items() if kind in classes]
    return [f"the transition {', '.join(found)}"]


def _listed(sizes: tuple[Size, ...], classes: tuple[AxisClass, ...], wanted: str) -> str:
    return ", ".join(str(size) for size, found in zip(sizes, classes, strict=True) if found == wanted)


def _composition(proof: Proof) -> str:
    count = str(proof.structure.composition)
    cost = f"one more step costs {count} operation{'' if count == '1' else 's'}"
    if proof.structure.closed:
        return f"products of steps have the same structure; {cost}"
    return f"products of steps do not keep the structure; {cost}"


def _driven(proof: Proof) -> list[str]:
    if proof.driver == "autonomous":
        return [f"the transition is given by {_names(proof.states)} alone, and the same for every input"]
    found = [f"the transition depends on {_names(proof.states)}"] if proof.states else []
    parts = [part for part in proof.parts if part.driver == "autonomous"]
    return found + [
        f"one factor, {_article(part.structure.text)}, is given by {_names(part.states)} alone" for part in parts
    ]


def _feeding(component: Component) -> tuple[str, ...]:
    linear = [feed.state for feed in component.feeds if feed.linear and not feed.autonomous]
    return (f"linear in {_names(linear)} as well: a triangular cascade",) if linear else ()


def _added(proof: Proof) -> list[str]:
    if proof.homogeneous:
        return ["no input term: nothing is added"]
    found = [(source, _rank_text(source, proof)) for source in proof.sources if source.rank != NOTHING]
    return [
        f"what is added to `{source.state}` {text}" if len(proof.axes) > 1 else f"what is added {text}"
        for source, text in found
    ]


def _rank_text(source: Rank, proof: Proof) -> str:
    """For example "has rank 1 between K and V for every M"."""
    sizes = proof.structure.layout.sizes
    rows = ", ".join(str(sizes[place]) for place in source.rows)
    others = [str(size) for place, size in enumerate(sizes) if place not in (*source.rows, source.column)]
    apart = f" for every {', '.join(others)}" if others else ""
    return f"has rank {source.rank} between {rows} and {sizes[source.column]}{apart}"


def _algebraic(proof: Proof) -> list[str]:
    found = []
    if proof.eigenvalue is not None:
        found.append(f"the eigenvalue apart from one {_is(proof.eigenvalue.text)}")
    if proof.commuting and not proof.structure.closed:
        found.append("the transitions of any two steps commute")
    if proof.in_place:
        known = proof.coefficient.text if proof.coefficient is not None else "may be negative"
        what = "is complex" if proof.complex else _is(known)
        found.append(f"the factor {what}, so it {'may' if proof.log_space else 'may not'} be kept as a logarithm")
    return found


def _is(text: str) -> str:
    return text if text.startswith("may") else f"is {text}"


def _article(text: str) -> str:
    return f"{'an' if text[0] in 'aeio' else 'a'} {text}"


def _names(names: Iterable[str]) -> str:
    *rest, last = (f"`{name}`" for name in names)
    return f"{', '.join(rest)} and {last}" if rest else last
