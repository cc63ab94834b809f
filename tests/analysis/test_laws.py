"""What the analysis says beside structures, checked with random numbers: of random programs, and of all specs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from recc.compiler import front
from recc.ir.nodes import Recurrence
from recc.passes.analyse import Component, Proof, Refusal, analyse
from tests.analysis.laws import check_component, conditions_hold
from tests.analysis.measure import Step, spec
from tests.ir.random_programs import random_recurrence

SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.rec"))
PROGRAMS = 30
SEEDS = range(6)
SIZES = {"K": 4, "V": 2, "D": 4, "R": 3}


def programs(seed: int) -> list[tuple[Recurrence, np.random.Generator]]:
    found = []
    for number in range(PROGRAMS):
        rng = np.random.default_rng((seed, number))
        found.append((random_recurrence(rng, complex=number % 4 == 0), rng))
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_laws_of_random_programs(seed: int) -> None:
    for recurrence, rng in programs(seed):
        for component in analyse(recurrence).components:
            check_component(recurrence, component, rng, SIZES)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_laws_of_specs(path: Path) -> None:
    for number, recurrence in enumerate(front(path).recurrences):
        rng = np.random.default_rng(number)
        for component in analyse(recurrence).components:
            check_component(recurrence, component, rng, _sizes(recurrence))


def _sizes(recurrence: Recurrence) -> dict[str, int]:
    named = dict.fromkeys(size for var in recurrence.variables for size in var.sizes if isinstance(size, str))
    return {size: 2 + place % 2 for place, size in enumerate(named)}


def test_random_programs_have_every_kind_of_finding() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        for recurrence, _ in programs(seed):
            for component in analyse(recurrence).components:
                seen.update(_kinds(component))
    often = (
        "constant",
        "homogeneous",
        "rank",
        "linear feed",
        "given",
        "smooth",
        "kinked",
        "jumping",
        "affine",
        "general",
    )
    seldom = ("diagonal", "banded", "dense", "rational")
    assert all(seen[kind] > 5 for kind in often) and all(seen[kind] > 2 for kind in seldom), seen


def _kinds(component: Component) -> list[str]:
    verdict = component.verdict
    found = ["given"] if component.given is not None else []
    if isinstance(verdict, Refusal):
        assert verdict.jacobian is not None
        return [*found, verdict.kind.pieces, verdict.kind.form, verdict.jacobian.pattern]
    found += [verdict.driver] + (["homogeneous"] if verdict.homogeneous else [])
    found += ["rank"] * any(source.rank.terms for source in verdict.sources)
    return found + ["linear feed"] * any(feed.linear for feed in component.feeds)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("input x[K]\nstate h[K]\nif t % 3 == 0: h = x\nh = 0.5 * h + x", "reset"),
        ("input x[K], w[K]\nstate h[K]\nh = where(w > 0, 0.5 * h + x, h)", "kept"),
        ("input x[K], w\nstate h[K]\nif w > 0:\n    h = 0.5 * h\n    h = h + x", "kept"),
        ("input x[K], w\nstate h[K]\nif w > 0:\n    h = 0.5 * h\nelse: h = x", "reset"),
    ],
)
def test_conditions_are_found_and_hold(text: str, kind: str) -> None:
    recurrence = spec(text)
    component = analyse(recurrence).components[-1]
    assert isinstance(component.verdict, Proof)
    assert [condition.kind for condition in component.verdict.conditions] == [kind]
    looked_at = sum(
        conditions_hold(Step(recurrence, np.random.default_rng(seed), SIZES), component, component.verdict)
        for seed in range(12)
    )
    assert looked_at > 3


@pytest.mark.parametrize(
    "update",
    [
        "h = where(w > 0, 0.5 * h + x, h)\nh = h + x",  # kept by one stage alone
        "h = where(h > 0, h, x)",  # on the state itself
        "h = where(arange(K) == 1, 0, h)",  # a place, not a time
    ],
)
def test_what_is_no_condition(update: str) -> None:
    component = analyse(spec(f"input x[K], w[K]\nstate h[K]\n{update}")).components[-1]
    assert not isinstance(component.verdict, Proof) or component.verdict.conditions == ()
