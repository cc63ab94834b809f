"""From a proof to a scan: how a stretch of steps is summed up, lengthened by a step, and applied to a state."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from recc.ir.build import ZERO
from recc.ir.nodes import Expr, Let, Recurrence, State
from recc.ir.traverse import map_exprs, names, rewrite
from recc.passes.analyse import Analysis, Component, Proof
from recc.passes.cascade import cascade
from recc.passes.contract import contracted
from recc.passes.cost import CALL_SECONDS, ELEMENT_SECONDS, EXAMPLE_ROWS, EXAMPLE_SIZE, EXAMPLE_STEPS, cost_of
from recc.passes.fractional_summary import fractional_summary
from recc.passes.linear_summary import ALGEBRAS, linear_summary
from recc.passes.riccati_summary import riccati_summary
from recc.passes.summary import Part, Summary
from recc.passes.tidy import Namer, drop_unused, tidy, used_names
from recc.structures.algebra import LINEAR_FRACTIONAL

LEAST_SAVING = 0.1  # of the time of two passes that one in their place has to save
SCANNABLE = frozenset({*ALGEBRAS, LINEAR_FRACTIONAL})


@dataclass(frozen=True)
class LevelPlan:
    """What one pass of a scan needs. `compose` is a recurrence whose states are the earlier states, the parts of the
    summary, and those of the level's states that have an offset (standing for it); `zeros` are the values that the
    offsets start from, `offsets` their names in `advance`, which has an expression for each of the level's
    states. `remark` says why it is one pass, if it could have been two."""

    states: tuple[str, ...]
    earlier: tuple[str, ...]
    parts: tuple[Part, ...]
    compose: Recurrence
    shifted: tuple[str, ...]
    zeros: tuple[Expr, ...]
    offsets: tuple[str, ...]
    advance: tuple[Expr, ...]
    remark: str = ""


def is_scannable(analysis: Analysis) -> bool:
    """Whether every component was proved to have an update whose stretches can be summed up."""
    verdicts = [component.verdict for component in analysis.components]
    return all(isinstance(verdict, Proof) and verdict.algebra in SCANNABLE for verdict in verdicts)


def lower_scan(recurrence: Recurrence, analysis: Analysis, whole: Recurrence | None = None) -> tuple[LevelPlan, ...]:
    """The passes of a scan, in order, for a recurrence that is scannable: one for each level of the analysis, or one
    for two levels where that is possible and expected to take less time.

    If `recurrence` is given some of its definitions as inputs and params, `whole` is the one that has them all."""
    whole = recurrence if whole is None else whole
    plans: list[LevelPlan] = []
    done: tuple[str, ...] = ()
    waiting = list(analysis.levels)
    while waiting:
        components = waiting.pop(0)
        plan = _apart(recurrence, whole, components, done)
        lifted = _lifted(recurrence, whole, components, waiting[0], plan, done) if waiting else None
        if lifted is not None:
            waiting.pop(0)
        plans.append(lifted or plan)
        done += plans[-1].states
    return tuple(plans)


def with_definitions(compose: Recurrence, whole: Recurrence, early: tuple[Let, ...]) -> Recurrence:
    """A summary's step on inputs and params of the `whole` recurrence, with the definitions made `early` of them."""
    own = {let.name for let in compose.lets}
    lets = (*(let for let in early if let.name not in own), *compose.lets)
    return drop_unused(replace(compose, inputs=whole.inputs, params=whole.params, lets=lets))


def _apart(
    recurrence: Recurrence, whole: Recurrence, components: tuple[Component, ...], before: tuple[str, ...]
) -> LevelPlan:
    namer = Namer(used_names(whole))
    return _level(recurrence, [_summary(recurrence, whole, component, namer) for component in components], before)


def _lifted(
    recurrence: Recurrence,
    whole: Recurrence,
    lower: tuple[Component, ...],
    upper: tuple[Component, ...],
    plan: LevelPlan,
    before: tuple[str, ...],
) -> LevelPlan | None:
    """One pass for two levels, if there is one that is expected to be faster than `plan` and another."""
    summaries = cascade(recurrence, whole, lower, upper, Namer(used_names(recurrence)))
    if summaries is None:
        return None
    lifted = _level(recurrence, summaries, before)
    apart = _seconds(plan) + _seconds(_apart(recurrence, whole, upper, before + plan.states))
    saved = 1 - _seconds(lifted) / apart
    if saved < LEAST_SAVING:
        return None
    read, fed = (", ".join(name for c in level for name in c.states) for level in (lower, upper))
    remark = f"{read} and {fed} in one pass: {fed} affine in {read} as well, saving {saved:.0%} of two passes"
    return replace(lifted, remark=remark)


def _seconds(level: LevelPlan) -> float:
    """The time that a pass is expected to take at the sizes of an explanation, with as many tiles as steps in one."""
    steps, between = cost_of(level.compose.lets, level.compose.updates), cost_of((), level.advance)
    symbols = {size for monomial, _ in (steps + between).elements for size in monomial if isinstance(size, str)}
    sizes = dict.fromkeys(symbols, EXAMPLE_SIZE) | dict(level.compose.sizes)
    tiles = math.isqrt(EXAMPLE_STEPS)
    touched = EXAMPLE_STEPS * steps.at(sizes) + tiles * between.at(sizes)
    return tiles * CALL_SECONDS * (steps + between).calls + EXAMPLE_ROWS * ELEMENT_SECONDS * touched


def _level(recurrence: Recurrence, summaries: list[Summary], before: tuple[str, ...]) -> LevelPlan:
    after = {name: expr for summary in summaries for name, expr in summary.after.items()}
    ordered = tuple(name for name in recurrence.state_names if name in after)
    earlier = _needed_earlier(recurrence, ordered, before)
    parts = tuple(part for summary in summaries for part in summary.parts)
    offsets = {name: found for summary in summaries for name, found in summary.offsets.items()}
    shifted = tuple(name for name in ordered if name in offsets)
    return LevelPlan(
        states=ordered,
        earlier=earlier,
        parts=parts,
        compose=_compose(recurrence, earlier, summaries, shifted),
        shifted=shifted,
        zeros=tuple(offsets[name][1] for name in shifted),
        offsets=tuple(offsets[name][0] for name in shifted),
        advance=tuple(after[name] for name in ordered),
    )


def _summary(recurrence: Recurrence, whole: Recurrence, component: Component, namer: Namer) -> Summary:
    proof = component.verdict
    assert isinstance(proof, Proof)
    if proof.riccati is not None:
        return riccati_summary(whole, component, namer)
    if proof.fraction is not None:
        return fractional_summary(recurrence, component, proof, namer)
    return linear_summary(recurrence, whole, component, proof, namer)


def _compose(
    recurrence: Recurrence, earlier: tuple[str, ...], summaries: list[Summary], shifted: tuple[str, ...]
) -> Recurrence:
    """One more step of the earlier states, the parts and the offsets, as a recurrence."""
    variables = {state.name: state for state in recurrence.states}
    parts = tuple(part for summary in summaries for part in summary.parts)
    composed = Recurrence(
        name=f"{recurrence.name}_compose",
        inputs=recurrence.inputs,
        params=recurrence.params,
        states=(
            *(variables[name] for name in earlier),
            *(State(part.var, ZERO) for part in parts),
            *(variables[name] for name in shifted),
        ),
        lets=recurrence.lets + tuple(let for summary in summaries for let in summary.lets),
        updates=(
            *(recurrence.update_of(name) for name in earlier),
            *(part.longer for part in parts),
            *(recurrence.update_of(name) for name in shifted),
        ),
        sizes=recurrence.sizes,
        constants=recurrence.constants,
    )
    tidied = tidy(composed)
    ordered = map_exprs(tidied, lambda expr: rewrite(expr, contracted))
    return tidied if ordered == tidied else tidy(ordered)


def _needed_earlier(recurrence: Recurrence, states: tuple[str, ...], before: tuple[str, ...]) -> tuple[str, ...]:
    """Earlier states that the updates read, and those that their updates read in turn."""
    lets = {let.name: let for let in recurrence.lets}
    seen: set[str] = set()
    waiting = [name for state in states for name in names(recurrence.update_of(state))]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in lets:
            waiting += names(lets[name].expr)
        elif name in before:
            waiting += names(recurrence.update_of(name))
    return tuple(name for name in recurrence.state_names if name in seen and name in before)
