"""Emitted functions against references that were written from the papers, and know nothing of the compiler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.differential.problems import (
    SIZES,
    call,
    cases,
    each,
    function,
    gradients,
    name_and_method,
    problem,
    random_like,
)
from tests.references import load
from tests.references.ports import Arrays

STEP = 1e-6


@pytest.mark.parametrize("T", [0, 1, 2, 33])
@pytest.mark.parametrize(("name", "method"), name_and_method(quick=True))
def test_values(name: str, method: str, T: int) -> None:
    inputs, params, states = cases(name, T, 2, 0, SIZES)
    outputs, finals = call(problem(name, method, T))
    for row in range(2):
        wanted, wanted_final = load(name).reference(inputs[row], params, states[row])
        for got, want in zip(outputs, wanted.values(), strict=True):
            assert_close(got[row].numpy(), want, rtol=1e-11, atol=1e-12)
        for got, want in zip(finals, wanted_final.values(), strict=True):
            assert_close(got[row].numpy(), np.asarray(want), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "method"), name_and_method(quick=True))
def test_values_from_the_start(name: str, method: str) -> None:
    module = load(name)
    inputs, params, _ = cases(name, 9, 2, 1, SIZES)
    outputs, finals = call(problem(name, method, 9, seed=1), initial_state=None)
    for row in range(2):
        wanted, wanted_final = module.reference(
            inputs[row], params, module.start(params, {**module.CONSTANTS, **SIZES})
        )
        for got, want in zip((*outputs, *finals), (*wanted.values(), *wanted_final.values()), strict=True):
            assert_close(got[row].numpy(), np.asarray(want), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "method"), name_and_method(quick=True))
def test_gradients(name: str, method: str) -> None:
    """Along a random direction, against a central difference of the reference."""
    given = problem(name, method, 6, rows=1).leaves()
    (inputs,), params, (state,) = cases(name, 6, 1, 0, SIZES)
    outputs, finals = call(given)
    cotangents, moves = random_like([*outputs, *finals]), random_like(given.tensors, 1)
    moves = [move * (at != 0) for move, at in zip(moves, given.tensors, strict=True)]  # a routing weight of zero jumps
    found = gradients([*outputs, *finals], given.tensors, cotangents)
    predicted = sum(float((g.conj() * move).real.sum()) for g, move in zip(found, moves, strict=True))
    directions = [move.numpy() for move in moves]
    count, total = len(inputs), len(inputs) + len(params)
    directions = [d[0] for d in directions[:count]] + directions[count:total] + [d[0] for d in directions[total:]]

    def loss(step: float) -> float:
        values = [*inputs.values(), *params.values(), *state.values()]
        moved = [value + step * direction for value, direction in zip(values, directions, strict=True)]
        named = (
            dict(zip(inputs, moved[:count], strict=True)),
            dict(zip(params, moved[count:total], strict=True)),
            dict(zip(state, moved[total:], strict=True)),
        )
        results = [*load(name).reference(*named)[0].values(), *load(name).reference(*named)[1].values()]
        pairs = zip(cotangents, results, strict=True)
        return sum(float(np.sum(np.real(np.conj(c[0].numpy()) * result))) for c, result in pairs)

    measured = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    assert abs(predicted - measured) < 1e-6 * (1 + abs(measured))
    assert abs(measured) > 1e-3


@pytest.mark.parametrize("method", ["sequential", "scan"])
def test_delta_by_objective_is_gated_deltanet(method: str) -> None:
    """The same recurrence, once by its update and once by the loss whose gradient the update is."""
    inputs, _, states = cases("gated_deltanet", 20, 2, 0, SIZES)
    names = list(inputs[0])
    other = list(load("delta_by_objective").SHAPES["inputs"])
    assert sorted(names) == sorted(other)
    given = problem("gated_deltanet", method, 20).leaves()
    by_name = dict(zip(names, given.inputs, strict=True))
    first = call(given)
    result, final = function("delta_by_objective")(
        *(by_name[name] for name in other), initial_state=given.states, output_final_state=True, method=method
    )
    assert_close((result, final), (first[0][0], first[1][0]), rtol=1e-12, atol=1e-12)
    cotangent = torch.ones_like(result)
    assert_close(
        torch.autograd.grad(result, given.tensors, cotangent, retain_graph=True),
        torch.autograd.grad(first[0][0], given.tensors, cotangent),
        rtol=1e-11,
        atol=1e-12,
    )


def flipped(arrays: Arrays) -> Arrays:
    return {key: value[::-1].copy() for key, value in arrays.items()}


@pytest.mark.parametrize("name", each())
def test_reverse(name: str) -> None:
    inputs, params, states = cases(name, 11, 2, 0, SIZES)
    outputs, finals = call(problem(name, "auto", 11), reverse=True)
    wanted, wanted_final = load(name).reference(flipped(inputs[1]), params, states[1])
    for got, want in zip(outputs, flipped(wanted).values(), strict=True):
        assert_close(got[1].numpy(), want, rtol=1e-11, atol=1e-12)
    for got, want in zip(finals, wanted_final.values(), strict=True):
        assert_close(got[1].numpy(), np.asarray(want), rtol=1e-11, atol=1e-12)
