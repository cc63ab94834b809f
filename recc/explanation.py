"""What `recc explain` says about one component: its structure and proof, or what stands in the way."""

from __future__ import annotations

from typing import Any

from recc.diagnostics import NOWHERE
from recc.passes.facts import condition_text, facts, shown
from recc.passes.verdicts import Component, Given, Proof, Refusal

INDENT = "      "


def component_lines(component: Component, indent: str = "  ") -> list[str]:
    """Findings for a person."""
    states, verdict = ", ".join(component.states), component.verdict
    if isinstance(verdict, Proof):
        lines = [f"{indent}{states}: {verdict.text}"]
    else:
        lines = [f"{indent}{states}: {verdict.text}", f"{indent}    culprit: {shown(verdict.culprit)}{_place(verdict)}"]
        lines += [f"{indent}    {verdict.reason}"]
    lines += [f"{indent}    {fact}" for fact in facts(component)]
    if component.given is not None:
        lines += _given_lines(component.given, indent + "    ")
    return lines if isinstance(verdict, Proof) else [*lines, f"{indent}    hint: {verdict.hint}"]


def _given_lines(found: Given, indent: str) -> list[str]:
    """The structure that is left, without its facts."""
    if found.held:
        known = f"between the steps at which {_names(found.known)} change{'s' if len(found.known) == 1 else ''}"
    else:
        known = "each, given all the others"
    return [f"{indent}{known}:"] + [
        f"{indent}  {', '.join(item.states)}: {item.verdict.text}{_suffix(item)}" for item in found.components
    ]


def _suffix(component: Component) -> str:
    verdict = component.verdict
    ranks = (
        [f"; what is added has rank {source.rank}" for source in verdict.sources] if isinstance(verdict, Proof) else []
    )
    return "".join(ranks)


def component_json(component: Component) -> dict[str, Any]:
    """The same for programs."""
    verdict = component.verdict
    found: dict[str, Any] = {"states": list(component.states), "algebra": verdict.algebra, "structure": verdict.text}
    if component.feeds:
        found["feeds"] = {feed.state: "linear" if feed.linear else "nonlinear" for feed in component.feeds}
    found |= _proof_json(verdict) if isinstance(verdict, Proof) else _refusal_json(verdict)
    found["facts"] = list(facts(component))
    if component.given is not None:
        components = [component_json(item) for item in component.given.components]
        found["given"] = {"known": list(component.given.known), "held": component.given.held, "components": components}
    return found


def _proof_json(proof: Proof) -> dict[str, Any]:
    return {
        "family": proof.structure.text,
        "axes": {state: list(classes) for state, classes in proof.axes.items()},
        "time_invariant": proof.invariant,
        "driver": proof.driver,
        "driven_by": list(proof.states),
        "factors": [
            {"family": part.structure.text, "driver": part.driver, "driven_by": list(part.states)}
            for part in proof.parts
        ],
        "complex": proof.complex,
        "range": proof.coefficient.text if proof.coefficient is not None and not proof.complex else None,
        "eigenvalue": proof.eigenvalue.text if proof.eigenvalue is not None else None,
        "commuting": proof.commuting,
        "input": "none" if proof.homogeneous else "added",
        "input_rank": {source.state: str(source.rank) for source in proof.sources},
        "conditions": [condition_text(condition) for condition in proof.conditions],
        "log_space": proof.log_space,
    }


def _refusal_json(refusal: Refusal) -> dict[str, Any]:
    found: dict[str, Any] = {
        "family": "nonlinear",
        "kind": refusal.kind.text,
        "continuous": refusal.kind.continuous,
        "refusal": {
            "culprit": shown(refusal.culprit),
            "place": _place(refusal).strip(),
            "reason": refusal.reason,
            "hint": refusal.hint,
        },
    }
    if refusal.jacobian is not None:
        axes = {state: list(classes) for state, classes in refusal.jacobian.axes.items()}
        found |= {"axes": axes, "jacobian": refusal.jacobian.pattern, "near": list(refusal.jacobian.near)}
    return found


def _place(refusal: Refusal) -> str:
    span = refusal.culprit.span
    return "" if span.source is NOWHERE.source else f"  (line {span.line})"


def _names(names: tuple[str, ...]) -> str:
    *rest, last = (f"`{name}`" for name in names)
    return f"{', '.join(rest)} and {last}" if rest else last
