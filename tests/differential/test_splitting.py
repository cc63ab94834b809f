"""A sequence in one call, in two, token by token, or packed among others: the same values and the same gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.differential.problems import (
    INERT,
    Problem,
    call,
    call_flat,
    flat,
    function,
    gradients,
    name_and_method,
    problem,
    random_like,
)

T, CUT = 9, 4
Solve = Callable[[Problem], tuple[Tensor, ...]]


def in_two_calls(given: Problem) -> tuple[Tensor, ...]:
    first = given.with_tensors([*(x[:, :CUT] for x in given.inputs), *given.params, *given.states])
    outputs, states = call(first)
    second = given.with_tensors([*(x[:, CUT:] for x in given.inputs), *given.params, *states])
    rest, finals = call(second)
    return (*(torch.cat(pair, 1) for pair in zip(outputs, rest, strict=True)), *finals)


def token_by_token(given: Problem) -> tuple[Tensor, ...]:
    state: Any = given.states
    columns: list[tuple[Tensor, ...]] = []
    for t in range(T):
        outputs, state = function(given.name).step(state, *(x[:, t] for x in given.inputs), *given.params)
        columns.append(flat(outputs))
    return (*(torch.stack(column, 1) for column in zip(*columns, strict=True)), *flat(state))


def packed_among_others(given: Problem) -> tuple[Tensor, ...]:
    """The two sequences with an empty one between them, a longer one before and a shorter one after."""
    others = problem(given.name, given.method, T + 2, seed=5)
    lengths = [T + 2, T, 0, T, 3]

    def joined(x: Tensor, other: Tensor) -> Tensor:
        return torch.cat([other[0], x[0], x[1], other[1, :3]])[None]

    inputs = [joined(x, other) for x, other in zip(given.inputs, others.inputs, strict=True)]
    states = [torch.stack([o[0], s[0], o[1], s[1], o[1]]) for s, o in zip(given.states, others.states, strict=True)]
    bounds = torch.tensor([0, *lengths]).cumsum(0)
    outputs, finals = call(given.with_tensors([*inputs, *given.params, *states]), cu_seqlens=bounds)
    begin = T + 2
    mine = (torch.stack([o[0, begin : begin + T], o[0, begin + T : begin + 2 * T]]) for o in outputs)
    for final, other in zip(finals, others.states, strict=True):
        assert_close(final[2], other[1], rtol=0, atol=0)  # no step, no change
    return (*mine, *(final[[1, 3]] for final in finals))


def assert_same(given: Problem, first: Solve, second: Solve) -> None:
    leaves = given.leaves()
    wanted, got = first(leaves), second(leaves)
    assert_close(got, wanted, rtol=1e-11, atol=1e-12)
    cotangents = random_like(wanted)
    expected = gradients(wanted, leaves.tensors, cotangents)
    assert_close(gradients(got, leaves.tensors, cotangents), expected, rtol=1e-10, atol=1e-11)
    assert all(g.abs().max() > 0 for g in expected[: len(given.inputs)]) or given.name in INERT


@pytest.mark.parametrize("other", [in_two_calls, token_by_token, packed_among_others])
@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_same(name: str, method: str, other: Solve) -> None:
    assert_same(problem(name, method, T), call_flat, other)


@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_the_final_state_carries_its_gradient(name: str, method: str) -> None:
    """Of the last state alone, to everything before it."""
    given = problem(name, method, T).leaves()
    _, finals = call(given)
    _, again = call(given.with_tensors([*(x[:, :0] for x in given.inputs), *given.params, *finals]))
    cotangents = random_like(finals)
    assert_close(gradients(again, given.tensors, cotangents), gradients(finals, given.tensors, cotangents))


@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_methods_agree_on_a_long_sequence(name: str, method: str) -> None:
    """Longer than a tile, and not a multiple of one."""
    given = problem(name, method, 150).leaves()
    wanted = call_flat(given, method="sequential")
    got = call_flat(given)
    assert_close(got, wanted, rtol=1e-9, atol=1e-10)
    cotangents = random_like(wanted)
    expected = gradients(wanted, given.tensors, cotangents)
    assert_close(gradients(got, given.tensors, cotangents), expected, rtol=1e-8, atol=1e-9)
