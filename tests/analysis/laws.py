"""What findings claim, in random numbers: every law holds for a component of one step with random values."""

from __future__ import annotations

from itertools import product

import numpy as np

from recc.ir.nodes import Recurrence, Unary
from recc.passes.analyse import Component, Proof, Refusal
from recc.passes.drivers import Drivers
from recc.passes.given import given
from recc.structures.algebra import LINEAR_FRACTIONAL, REAL, SEMIRINGS
from tests.analysis.measure import Array, Step, over, with_lets
from tests.analysis.superpose import close, superposes

ZEROS = {algebra.name: algebra.zero for algebra in (REAL, *SEMIRINGS)}
Sizes = dict[str, int]


def jacobians(step: Step, states: tuple[str, ...]) -> list[Array]:
    return [step.jacobian(target, source, states) for target, source in product(states, states)]


def nothing_is_added(step: Step, component: Component, proof: Proof) -> bool:
    """A homogeneous update leaves the algebra's zero where it is."""
    zero = {name: np.full_like(step.states[name], ZEROS[proof.algebra]) for name in component.states}
    return all(np.array_equal(value, zero[name]) for name, value in step(zero).items())


def source_has_rank(step: Step, component: Component, proof: Proof) -> bool:
    """What the update makes of zero has the rank that is claimed, between the axes that are named."""
    zero = {name: np.zeros_like(step.states[name]) for name in component.states}
    added = step(zero)
    for source in proof.sources:
        value = added[source.state]
        apart = [place for place in range(value.ndim) if place not in (*source.rows, source.column)]
        turned = value.transpose(*apart, *source.rows, source.column)
        matrices = turned.reshape(-1, int(np.prod([value.shape[place] for place in source.rows])), turned.shape[-1])
        rank = source.rank.at(step.sizes)
        if np.isfinite(value).all() and any(np.linalg.matrix_rank(m, 1e-9) > rank for m in matrices):
            return False
    return True


def driver_is_all_that_matters(step: Step, other: Step, component: Component, proof: Proof) -> bool:
    """With the same params, and the same autonomous states, the transition is the same for other inputs."""
    if proof.algebra != REAL.name or proof.driver == "inputs":
        return True
    own = {var.name for var in step.recurrence.params}
    other.env |= {name: value for name, value in step.env.items() if name in own}
    if proof.driver == "autonomous":
        other.states |= {name: step.states[name] for name in Drivers(step.recurrence).autonomous}
    pairs = zip(jacobians(step, component.states), jacobians(other, component.states), strict=True)
    return all(_same(first, second) for first, second in pairs)


def steps_commute(step: Step, other: Step, component: Component, proof: Proof) -> bool:
    if proof.algebra != REAL.name or not proof.commuting or len(component.states) != 1:
        return True
    name = component.states[0]
    other.env |= {var.name: step.env[var.name] for var in step.recurrence.params}
    count = max(1, step.states[name].size)
    first, second = (s.jacobian(name, name, (name,)).reshape(count, count) for s in (step, other))
    return _same(first @ second, second @ first)


def feeds_are_linear(step: Step, component: Component, proof: Proof, rng: np.random.Generator) -> bool:
    """The update keeps affine combinations of the component's states and an earlier one together."""
    for feed in component.feeds:
        names = (*component.states, feed.state)
        x, y = step.draw(names, rng), step.draw(names, rng)
        middle = {name: 2.5 * x[name] - 1.5 * y[name] for name in names}
        of_x, of_y, of_middle = step(x), step(y), step(middle)
        if feed.linear and not all(_same(of_middle[n], 2.5 * of_x[n] - 1.5 * of_y[n]) for n in component.states):
            return False
    return True


def conditions_hold(step: Step, component: Component, proof: Proof) -> int:
    """Where a condition holds a state is kept, or forgotten; the number of elements that were looked at."""
    seen = 0
    for condition in proof.conditions:
        (name,) = component.states
        var = next(state.var for state in step.recurrence.states if state.name == name)
        test = condition.test.x if isinstance(condition.test, Unary) else condition.test
        where = over(test, var.axes, with_lets(step.recurrence, step), step.sizes).astype(bool)
        where = np.broadcast_to(where ^ isinstance(condition.test, Unary), step.states[name].shape)
        now: Array = np.asarray(step.states[name])
        after = step({name: now})[name]
        changed = step({name: now + 0.37})[name]
        kept = after[where] == now[where] if condition.kind == "kept" else after[where] == changed[where]
        assert kept.all(), (name, condition)
        seen += int(where.sum())
    return seen


def pattern_holds(step: Step, component: Component, refusal: Refusal) -> bool:
    """No element depends on another position along an axis that the Jacobian's pattern does not cross."""
    assert refusal.jacobian is not None
    axes = {state.name: state.var.axes for state in step.recurrence.states}
    start = {name: step.states[name] for name in component.states}
    before = step(start)
    for source in component.states:
        for index in np.ndindex(start[source].shape):
            moved: Array = np.array(start[source])
            moved[index] = moved[index] * 1.3 + 0.4
            after = step({**start, source: moved})
            for target in component.states:
                changed = ~np.isclose(before[target], after[target], rtol=1e-9, atol=1e-12, equal_nan=True)
                for place, found in enumerate(refusal.jacobian.axes[target]):
                    if found == "mixed":
                        continue
                    own = index[axes[source].index(axes[target][place])]
                    if np.delete(changed, own, axis=place).any():
                        return False
    return True


def is_continuous(step: Step, component: Component, rng: np.random.Generator) -> bool:
    """Along a random segment no jump is left when the largest change is looked at ever closer."""
    x, y = step.draw(component.states, rng), step.draw(component.states, rng)

    def at(share: float) -> Array:
        values = step({name: (1 - share) * 3 * x[name] + share * 3 * y[name] for name in x})
        return np.concatenate([np.ravel(values[name]) for name in component.states])

    low, high, change = 0.0, 1.0, np.inf
    for _ in range(9):
        shares = np.linspace(low, high, 11)
        values = [at(share) for share in shares]
        changes = [float(np.max(np.abs(b - a))) for a, b in zip(values, values[1:], strict=False)]
        if not np.isfinite(changes).all() or max(np.max(np.abs(value)) for value in values) > 1e3:
            return True  # a pole, or outside of a domain
        place = int(np.argmax(changes))
        low, high, change = shares[place], shares[place + 1], changes[place]
    return change < 1e-4


def is_affine_between_kinks(step: Step, component: Component, rng: np.random.Generator) -> bool:
    """Second differences over a tiny distance vanish."""
    x, way = step.draw(component.states, rng), step.draw(component.states, rng)
    behind, here, ahead = (step({name: x[name] + shift * way[name] for name in x}) for shift in (-1e-6, 0.0, 1e-6))
    return all(_same(ahead[name] - here[name], here[name] - behind[name], 1e-9) for name in component.states)


def given_is_proved(recurrence: Recurrence, component: Component, rng: np.random.Generator, sizes: Sizes) -> bool:
    """What is said of a component given other states superposes once these are given."""
    if component.given is None:
        return True
    for item in component.given.components:
        known = component.given.known or tuple(name for name in component.states if name not in item.states)
        step = Step(given(recurrence, known), rng, sizes)
        if isinstance(item.verdict, Proof) and not superposes(step, item, item.verdict, rng):
            return False
    return True


def check_component(recurrence: Recurrence, component: Component, rng: np.random.Generator, sizes: Sizes) -> None:
    """All laws that apply to a component."""
    step, verdict = Step(recurrence, rng, sizes), component.verdict
    assert given_is_proved(recurrence, component, rng, sizes), component
    if isinstance(verdict, Refusal):
        assert pattern_holds(step, component, verdict), verdict
        assert verdict.kind.pieces == "jumping" or is_continuous(step, component, rng), verdict
        affine = verdict.kind.form in ("constant", "affine")
        assert not affine or is_affine_between_kinks(step, component, rng), verdict
        return
    if verdict.algebra == LINEAR_FRACTIONAL:
        return
    assert not verdict.homogeneous or nothing_is_added(step, component, verdict), verdict
    assert source_has_rank(step, component, verdict), verdict
    assert feeds_are_linear(step, component, verdict, rng), verdict
    assert driver_is_all_that_matters(step, Step(recurrence, rng, sizes), component, verdict), verdict
    assert steps_commute(step, Step(recurrence, rng, sizes), component, verdict), verdict
    conditions_hold(step, component, verdict)


def _same(found: Array, expected: Array, tolerance: float = 0.0) -> bool:
    """Wherever random coefficients are finite."""
    finite = np.isfinite(expected) & np.isfinite(found)
    if tolerance:
        return bool(np.allclose(found[finite], expected[finite], rtol=0, atol=tolerance))
    return close(found[finite], expected[finite])
