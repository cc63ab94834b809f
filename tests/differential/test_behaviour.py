"""What users of recurrent layers trip over elsewhere, one test for each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from tests.differential.problems import (
    INERT,
    Problem,
    call,
    call_flat,
    each,
    function,
    gradients,
    name_and_method,
    problem,
    random_like,
)
from tests.passes.rules import NOT_TAKEN, RULES, spec_of

CASES = name_and_method()
ROOT = Path(__file__).parent.parent.parent


def joined(given: Problem, lengths: list[int]) -> tuple[Problem, Tensor]:
    """The first steps of each row, packed, with the boundaries between them."""
    inputs = [torch.cat([x[row, :n] for row, n in enumerate(lengths)])[None] for x in given.inputs]
    return given.with_tensors([*inputs, *given.params, *given.states]), torch.tensor([0, *lengths]).cumsum(0)


def row_of(given: Problem, row: int, steps: int) -> Problem:
    inputs = [x[row : row + 1, :steps] for x in given.inputs]
    return given.with_tensors([*inputs, *given.params, *(s[row : row + 1] for s in given.states)])


@pytest.mark.parametrize(("name", "method"), CASES)
def test_packed_sequences_do_not_see_each_other(name: str, method: str) -> None:
    """Values and gradients of ragged sequences, with empty ones first, between and last."""
    lengths = [0, 5, 0, 1, 12, 0]
    given = problem(name, method, 12, rows=len(lengths)).leaves()
    packed, bounds = joined(given, lengths)
    outputs, finals = call(packed, cu_seqlens=bounds)
    singles = [call(row_of(given, row, n)) for row, n in enumerate(lengths)]
    wanted = [torch.cat(column, 1) for column in zip(*(single[0] for single in singles), strict=True)]
    wanted_finals = [torch.cat(column) for column in zip(*(single[1] for single in singles), strict=True)]
    assert_close([*outputs, *finals], [*wanted, *wanted_finals], rtol=1e-11, atol=1e-12)
    cotangents = random_like([*wanted, *wanted_finals])
    expected = gradients([*wanted, *wanted_finals], given.tensors, cotangents)
    assert_close(gradients([*outputs, *finals], given.tensors, cotangents), expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", each())
def test_rows_past_the_end_of_packing_are_refused(name: str) -> None:
    """Boundaries that leave steps over would leave their outputs and gradients undefined."""
    given = problem(name, "auto", 10, rows=1)
    with pytest.raises(ValueError, match="cu_seqlens: expected to end at the number of steps, 10, got 8"):
        call(given, cu_seqlens=torch.tensor([0, 8]))


@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_reset_in_the_middle_is_two_packed_sequences(name: str, method: str) -> None:
    given = problem(name, method, 11, rows=1)
    outputs, finals = call(given, cu_seqlens=torch.tensor([0, 4, 11]), initial_state=None)
    head = given.with_tensors([*(x[:, :4] for x in given.inputs), *given.params, *given.states])
    tail = given.with_tensors([*(x[:, 4:] for x in given.inputs), *given.params, *given.states])
    first, second = call(head, initial_state=None), call(tail, initial_state=None)
    wanted = [torch.cat(pair, 1) for pair in zip(first[0], second[0], strict=True)]
    assert_close(list(outputs), wanted, rtol=1e-11, atol=1e-12)
    assert_close(finals, tuple(torch.cat(pair) for pair in zip(first[1], second[1], strict=True)))


@pytest.mark.parametrize("T", [1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 100, 127, 129])
@pytest.mark.parametrize(("name", "method"), [("deltaproduct", "scan"), ("mlstm", "scan"), ("lstm", "sequential")])
def test_any_length(name: str, method: str, T: int) -> None:
    """Shorter than a tile, a multiple of one, one more, one less: a ragged tail is like any other step."""
    given, longer = problem(name, method, T), problem(name, "sequential", T)
    columns = [function(name).step(None, *(x[:, 0] for x in given.inputs), *given.params)]
    for t in range(1, T):
        columns.append(function(name).step(columns[-1][1], *(x[:, t] for x in given.inputs), *given.params))
    (got,), _ = call(given, initial_state=None)
    assert_close(got, torch.stack([output for output, _ in columns], 1), rtol=1e-9, atol=1e-10)
    assert_close(call_flat(given), call_flat(longer), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_outputs_do_not_depend_on_the_future(name: str, method: str) -> None:
    given = problem(name, method, 40)
    changed = given.with_tensors(
        [*(torch.cat([x[:, :21], x[:, 21:].flip(1)], 1) for x in given.inputs), *given.params, *given.states]
    )
    first, second = call(given)[0], call(changed)[0]
    assert_close([o[:, :21] for o in second], [o[:, :21] for o in first], rtol=1e-12, atol=1e-13)
    assert any((a[:, 21:] != b[:, 21:]).any() for a, b in zip(first, second, strict=True)) or name in INERT


@pytest.mark.parametrize(("name", "method"), CASES)
def test_rows_do_not_depend_on_each_other(name: str, method: str) -> None:
    given = problem(name, method, 20, rows=3)
    outputs, finals = call(given)
    for row in range(3):
        alone, final = call(row_of(given, row, 20))
        assert_close([o[0] for o in alone], [o[row] for o in outputs], rtol=1e-12, atol=1e-13)
        assert_close([f[0] for f in final], [f[row] for f in finals], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_arguments_are_not_written(name: str, method: str) -> None:
    given = problem(name, method, 40).leaves()
    before = [t.detach().clone() for t in given.tensors]
    results = call_flat(given)
    gradients(results, given.tensors, random_like(results))
    assert_close([t.detach() for t in given.tensors], before, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_results_are_not_views_of_arguments(name: str, method: str) -> None:
    """A final state that is written to must not change what it came from."""
    for T in (0, 1, 20):
        given = problem(name, method, T)
        storages = {t.untyped_storage().data_ptr() for t in given.tensors if t.numel()}
        results = [r for r in call_flat(given) if r.numel()]
        assert not storages & {r.untyped_storage().data_ptr() for r in results}


@pytest.mark.parametrize(("name", "method"), CASES)
def test_the_same_bits_twice(name: str, method: str) -> None:
    given = problem(name, method, 150).to(torch.float32)

    def once() -> list[Tensor]:
        leaves = given.leaves()
        results = call_flat(leaves)
        return [*results, *gradients(results, leaves.tensors, random_like(results))]

    assert_close(once(), once(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", each())
def test_the_same_bytes_twice(name: str) -> None:
    assert recc.compile(name) == recc.compile(name)


def test_the_same_bytes_in_another_process() -> None:
    """Whatever the hash seed is."""
    names = ["mlstm", "deltaproduct", "lstm"]
    code = f"import recc, hashlib\nfor n in {names}: print(hashlib.sha256(recc.compile(n).encode()).hexdigest())"
    seen = set()
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(run.stdout)
    assert len(seen) == 1 and len(seen.pop().split()) == 3


@pytest.mark.parametrize("name", each())
def test_an_unknown_argument_is_an_error(name: str) -> None:
    given = problem(name, "auto", 3)
    for wrong in ("initial_states", "output_final_states", "cu_seqlen", "head_first", "scale"):
        with pytest.raises(TypeError, match=wrong):
            function(name)(*given.inputs, *given.params, **{wrong: None})
    with pytest.raises(ValueError, match="method: expected one of"):
        function(name)(*given.inputs, *given.params, method="chunked")
    with pytest.raises(ValueError, match="backend: expected one of"):
        function(name)(*given.inputs, *given.params, backend="cuda")


@pytest.mark.parametrize("name", each())
def test_a_missing_argument_is_an_error(name: str) -> None:
    given = problem(name, "auto", 3)
    with pytest.raises(TypeError, match="missing"):
        function(name)(*given.inputs[1:], *given.params)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_only_what_is_wanted_is_differentiated(name: str, method: str) -> None:
    """A gradient for one argument alone is the same as among all."""
    given = problem(name, method, 12).leaves()
    results = call_flat(given)
    cotangents = random_like(results)
    everything = gradients(results, given.tensors, cotangents)
    for place in range(len(given.tensors)):
        alone = given.with_tensors([t if i == place else t.detach() for i, t in enumerate(given.tensors)])
        (found,) = gradients(call_flat(alone), given.tensors[place : place + 1], cotangents)
        assert_close(found, everything[place], rtol=1e-11, atol=1e-12)


def rule_gradient(rule: str) -> tuple[Tensor, Tensor]:
    """The input, and the gradient of the sum of `z`, which can be differentiated again."""
    _, x_values, y_value, _ = RULES[rule]
    x = torch.tensor([[x_values]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([[y_value]], dtype=torch.float64, requires_grad=True)
    outputs, _ = recc.load(spec_of(rule))(x, y)
    z = outputs if isinstance(outputs, Tensor) else outputs.z
    return x, torch.autograd.grad(z.sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("rule", RULES)
def test_conventions_hold_in_emitted_modules(rule: str) -> None:
    """Ties, zeros, infinities, and sides that are not taken."""
    _, gradient = rule_gradient(rule)
    np.testing.assert_allclose(gradient.detach().numpy()[0, 0], RULES[rule][3], rtol=1e-14)


@pytest.mark.parametrize("rule", NOT_TAKEN)
def test_the_side_not_taken_has_no_second_derivative(rule: str) -> None:
    x, gradient = rule_gradient(rule)
    (second,) = torch.autograd.grad((gradient * torch.tensor([1.0, 2.0, 3.0])).sum(), x)
    assert second.isfinite().all()


def test_a_size_is_a_number_beside_inputs_that_lack_it() -> None:
    """What is prepared for all steps asks a param for a size that no input has."""
    text = """recurrence sized:
    input  u[N]
    param  C[M, N]
    state  h[N]
    h = 0.5 * h + exp(-M) * u
    output y[M] = C @ h
"""
    u, matrix = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    h, wanted = torch.zeros(2, 3, dtype=torch.float64), []
    for t in range(5):
        h = 0.5 * h + np.exp(-4) * u[:, t]
        wanted.append(h @ matrix.T)
    for method in ("sequential", "scan"):
        y, _ = recc.load(text)(u, matrix, method=method, backend="torch")
        assert_close(y, torch.stack(wanted, 1))
