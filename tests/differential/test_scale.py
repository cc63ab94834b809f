"""Memory and depth: what is kept for the backward pass, and sequences that are very long."""

from __future__ import annotations

from math import prod

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from tests.differential.problems import Problem, call, gradients, name_and_method, problem, random_like

LONG = 100_000
LEAST_TILE = 16


def saved_bytes(given: Problem) -> int:
    """What autograd keeps for the backward pass, without the arguments, each storage once."""
    kept: dict[int, int] = {}
    mine = {t.untyped_storage().data_ptr() for t in given.tensors}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in mine:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs, finals = call(given)
    assert any(t.requires_grad for t in (*outputs, *finals))
    return sum(kept.values())


@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_kept_states_are_those_between_tiles(name: str, method: str) -> None:
    """No intermediate of a step is kept, and of the states no more than one in `LEAST_TILE` steps."""
    steps = 512
    given = problem(name, method, steps).leaves()
    state = sum(s.element_size() * prod(s.shape) for s in given.states)
    params = sum(p.element_size() * prod(p.shape) for p in given.params)
    assert saved_bytes(given) <= (steps // LEAST_TILE + 2) * state + params


@pytest.mark.parametrize(
    ("name", "method"), [("linear_scan", "sequential"), ("linear_scan", "scan"), ("mlstm", "scan")]
)
def test_very_long_sequences(name: str, method: str) -> None:
    """Neither a limit on recursion nor an overflow; outputs and gradients are finite."""
    given = long_problem(name, method, LONG).leaves()
    outputs, finals = call(given)
    found = gradients([*outputs, *finals], given.tensors, random_like([*outputs, *finals]))
    for value in (*outputs, *finals, *found):
        assert torch.isfinite(value).all()
    half = given.with_tensors([*(x[:, LONG // 2 :].detach() for x in given.inputs), *given.params, *given.states])
    again, _ = call(half)  # what is long ago has decayed
    assert_close(again[0][:, -10:], outputs[0][:, -10:], rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_all_very_long_sequences(name: str, method: str) -> None:
    given = long_problem(name, method, LONG).to(torch.float32)
    outputs, finals = call(given)
    assert all(torch.isfinite(value).all() for value in (*outputs, *finals))


def long_problem(name: str, method: str, steps: int) -> Problem:
    """Repeats of a short sequence, in one row; gates are such that the past decays."""
    given = problem(name, method, 100, rows=1)
    inputs = [x.repeat(1, steps // 100, *(1 for _ in x.shape[2:])) for x in given.inputs]
    if name == "linear_scan":
        inputs[0] = inputs[0].tanh()
    return given.with_tensors([*inputs, *given.params, *given.states])
