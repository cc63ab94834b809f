"""Nothing is ever accepted that random numbers refute: random programs, superposition, Jacobians, ranges."""

from __future__ import annotations

import numpy as np
import pytest

from recc.ir.nodes import Recurrence, Reduce, Ref
from recc.passes.analyse import Component, Proof, Refusal, analyse
from recc.passes.intervals import Intervals
from recc.passes.split import split
from recc.passes.terms import Expansion
from recc.structures.algebra import REAL
from recc.structures.constant import Constant
from recc.structures.diagonal import Diagonal
from recc.structures.diagonal_low_rank import DiagonalLowRank
from recc.structures.form import product
from recc.structures.identity import Identity
from recc.structures.identity_low_rank import IdentityLowRank
from recc.structures.scalar import Scalar
from tests.analysis.measure import Array, Step, over, with_lets
from tests.analysis.superpose import close, superposes
from tests.ir.random_programs import random_recurrence

SEEDS = range(12)
PROGRAMS = 40
SIZES = {"K": 4, "V": 2, "D": 4, "R": 3}


def programs(seed: int) -> list[tuple[Recurrence, np.random.Generator]]:
    found = []
    for number in range(PROGRAMS):
        rng = np.random.default_rng((seed, number))
        found.append((random_recurrence(rng, complex=number % 4 == 0), rng))
    return found


def proofs(recurrence: Recurrence) -> list[tuple[Component, Proof]]:
    return [(c, c.verdict) for c in analyse(recurrence).components if isinstance(c.verdict, Proof)]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_accepted_superposes(seed: int) -> None:
    checked = 0
    for recurrence, rng in programs(seed):
        for component, proof in proofs(recurrence):
            checked += 1
            assert superposes(Step(recurrence, rng, SIZES), component, proof, rng), (proof, recurrence)
    assert checked > 10


def test_refusals_are_not_all_there_is() -> None:
    verdicts = [c.verdict for seed in SEEDS for r, _ in programs(seed) for c in analyse(r).components]
    algebras = {verdict.algebra for verdict in verdicts if isinstance(verdict, Proof)}
    assert algebras == {"(+,x)", "(max,+)", "(min,+)", "(logsumexp,+)", "linear-fractional"}
    refused = [verdict for verdict in verdicts if isinstance(verdict, Refusal)]
    assert len(refused) > 50 and all(verdict.reason and verdict.hint for verdict in refused)


@pytest.mark.parametrize("seed", SEEDS)
def test_axis_classes_are_what_the_jacobian_shows(seed: int) -> None:
    for recurrence, rng in programs(seed):
        for component, proof in proofs(recurrence):
            if proof.algebra != "(+,x)":
                continue
            step = Step(recurrence, rng, SIZES)
            variables = {state.name: state.var for state in recurrence.states}
            for target in component.states:
                for source in component.states:
                    matrix = step.jacobian(target, source, component.states)
                    for place, found in enumerate(proof.axes[target]):
                        if found == "mixed":
                            continue
                        other = variables[source].axes.index(variables[target].axes[place])
                        _check_in_place(matrix, place, len(variables[target].axes) + other, found)


def _check_in_place(matrix: Array, row: int, column: int, found: str) -> None:
    """Nothing crosses the axis; if it is batched, all its positions have the same map."""
    matrix = np.moveaxis(matrix, (row, column), (0, 1))
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            assert i == j or close(matrix[i, j], np.zeros_like(matrix[i, j]))
        assert found == "scaled" or close(matrix[i, i], matrix[0, 0])


@pytest.mark.parametrize("seed", SEEDS)
def test_structures_hold_the_jacobian(seed: int) -> None:
    for recurrence, rng in programs(seed):
        for component, proof in proofs(recurrence):
            if proof.algebra != "(+,x)" or len(component.states) > 1:
                continue
            name = next(iter(component.states))
            step = Step(recurrence, rng, SIZES)
            rank = step.states[name].ndim
            count = int(np.prod(step.states[name].shape))
            matrix = step.jacobian(name, name, (name,))
            layout = proof.structure.layout
            square = matrix.reshape(count, count)
            match proof.structure:
                case Identity():
                    assert close(square, np.eye(count))
                case Constant():
                    assert close(square, np.zeros((count, count)))
                case Scalar():
                    assert close(square, square[0, 0] * np.eye(count))
                case Diagonal():
                    assert close(square, np.diag(np.diag(square)))
                case IdentityLowRank():
                    for core in _cores(matrix, layout.mixed, rank):
                        assert np.linalg.matrix_rank(core - np.eye(len(core)), 1e-9) <= proof.structure.rank.at(SIZES)
                case DiagonalLowRank():
                    for core in _cores(matrix, layout.mixed, rank):
                        half = len(core) // 2
                        assert np.linalg.matrix_rank(core[:half, half:], 1e-9) <= proof.structure.rank.at(SIZES)


def _cores(matrix: Array, mixed: tuple[int, ...], rank: int) -> list[Array]:
    """The square matrices over the mixed places, one for every position of the other places."""
    others = [place for place in range(rank) if place not in mixed]
    order = [*others, *(rank + place for place in others), *mixed, *(rank + place for place in mixed)]
    turned = matrix.transpose(order)
    length = int(np.prod([matrix.shape[place] for place in mixed]))
    shape = [matrix.shape[place] for place in others]
    return [turned[(*index, *index)].reshape(length, length) for index in np.ndindex(*shape)]


@pytest.mark.parametrize("seed", SEEDS)
def test_terms_are_the_linear_part(seed: int) -> None:
    written = 0
    for recurrence, rng in programs(seed):
        for component, proof in proofs(recurrence):
            if proof.algebra != "(+,x)":
                continue
            step = Step(recurrence, rng, SIZES)
            variables = {state.name: state.var for state in recurrence.states}
            sources = {name: variables[name].axes for name in component.states}
            expansion = Expansion(sources, recurrence.lets, REAL)
            zero = step({name: np.zeros_like(step.states[name]) for name in component.states})
            whole = step({name: step.states[name] for name in component.states})
            env = with_lets(recurrence, step)
            for name in component.states:
                terms = expansion.of(recurrence.update_of(name))
                if terms is None:
                    continue
                terms = split(terms, {let.name: let for let in recurrence.lets}) if written % 2 else terms
                written += 1
                total = np.zeros_like(whole[name])
                for term in terms:
                    kind = variables[term.source].kind
                    expr = product((*term.factors, Ref(term.source, term.index, kind)), REAL)
                    expr = Reduce("sum", expr, term.bound) if term.bound else expr
                    total = total + over(expr, variables[name].axes, env, step.sizes)
                assert close(total, whole[name] - zero[name])
    assert written > 10


@pytest.mark.parametrize("seed", SEEDS)
def test_values_lie_in_their_ranges(seed: int) -> None:
    bounded = 0
    for recurrence, rng in programs(seed):
        intervals = Intervals(recurrence)
        step = Step(recurrence, rng, SIZES)
        env = with_lets(recurrence, step)
        for let in recurrence.lets:
            known = intervals.of(let.ref())
            values = env[let.name]
            if np.iscomplexobj(values) or values.dtype == bool:
                continue
            slack = 1e-12 * (1 + np.abs(values))
            assert np.all(values >= known.low - slack) and np.all(values <= known.high + slack), (let, known)
            assert not (known.low_open and known.low == 0) or np.all(values > 0)
            bounded += np.isfinite(known.low) or np.isfinite(known.high)
    assert bounded > 5
