"""Half precision goes in and comes out; in between, states are single."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from tests.differential.problems import Problem, call, gradients, name_and_method, problem, random_like

HALF = (torch.bfloat16, torch.float16)
CASES = name_and_method()


def in_half(given: Problem, dtype: torch.dtype) -> Problem:
    """Inputs in half precision; params and states in single. Complex numbers have no half."""
    single = given.to(torch.float32)
    inputs = [x if x.is_complex() else x.to(dtype) for x in single.inputs]
    return single.with_tensors([*inputs, *single.params, *single.states])


def all_half(given: Problem) -> bool:
    return not any(x.is_complex() for x in given.inputs)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_values(name: str, method: str, dtype: torch.dtype) -> None:
    """As close to the single-precision result, from the same numbers, as its rounding to half precision."""
    given = in_half(problem(name, method, 40), dtype)
    outputs, finals = call(given)
    wanted, wanted_finals = call(given.to(torch.float32))
    kind = dtype if all_half(given) else torch.float32
    for got, want in zip(outputs, wanted, strict=True):
        assert got.dtype == (torch.complex64 if want.is_complex() else kind)
        assert_close(got.to(want.dtype), want, rtol=2 * torch.finfo(kind).eps, atol=1e-3 if kind == dtype else 1e-6)
    assert_close(finals, wanted_finals, rtol=1e-5, atol=1e-5)
    assert all(f.dtype in (torch.float32, torch.complex64) for f in finals)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradients(name: str, method: str, dtype: torch.dtype) -> None:
    """In the dtype of what they are of, computed in single precision."""
    given = in_half(problem(name, method, 12), dtype).leaves()
    outputs, finals = call(given)
    same = given.to(torch.float32).leaves()
    wanted, wanted_finals = call(same)
    cotangents = [
        c.to(o.dtype) for c, o in zip(random_like([*wanted, *wanted_finals]), [*outputs, *finals], strict=True)
    ]
    found = gradients([*outputs, *finals], given.tensors, cotangents)
    kinds = [w.dtype for w in (*wanted, *wanted_finals)]
    expected = gradients(
        [*wanted, *wanted_finals], same.tensors, [c.to(kind) for c, kind in zip(cotangents, kinds, strict=True)]
    )
    for leaf, got, want in zip(given.tensors, found, expected, strict=True):
        assert got.dtype == leaf.dtype
        tolerance = 4 * torch.finfo(got.dtype).eps
        assert_close(got.to(want.dtype), want, rtol=tolerance, atol=max(1e-4, tolerance * float(want.abs().max()) / 4))


@pytest.mark.parametrize("dtype", HALF)
def test_a_sum_of_many_small_steps_survives(dtype: torch.dtype) -> None:
    """In half precision, adding 1 to 2048 (or 256) would be lost."""
    steps = 6000
    given = problem("linear_scan", "sequential", 1, rows=1)
    ones = torch.ones(1, steps, *given.inputs[0].shape[2:], dtype=dtype)
    long = given.with_tensors([ones, ones, torch.zeros_like(given.states[0], dtype=torch.float32)])
    for method in ("sequential", "scan"):
        _, (final,) = call(long, method=method)
        assert (final == steps).all()
