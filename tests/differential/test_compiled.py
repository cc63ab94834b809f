"""Emitted functions under torch.compile, autocast and activation checkpointing: nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from tests.differential.problems import (
    Problem,
    call_flat,
    each,
    flat,
    function,
    gradients,
    name_and_method,
    problem,
    random_like,
)
from tests.references import NAMES

BY_DEFAULT = ("deltaproduct", "mlstm", "gru", "lru", "ema")


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def traceable(given: Problem, options: dict[str, Any]) -> Callable[..., tuple[Tensor, ...]]:
    f, m = function(given.name), len(given.inputs) + len(given.params)

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        outputs, finals = f(
            *tensors[:m], initial_state=tensors[m:], output_final_state=True, method=given.method, **options
        )
        return (*flat(outputs), *flat(finals))

    return run


def assert_same(compiled: Callable[..., Any], eager: Callable[..., Any], given: Problem) -> None:
    leaves = given.leaves().tensors
    wanted, got = eager(*leaves), compiled(*leaves)
    assert_close(tuple(got), wanted, rtol=1e-10, atol=1e-11)
    cotangents = random_like(wanted)
    expected = gradients(wanted, leaves, cotangents)
    assert_close(gradients(got, leaves, cotangents), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "method"), name_and_method(BY_DEFAULT))
def test_compiled(name: str, method: str) -> None:
    given = problem(name, method, 9)
    run = traceable(given, {})
    assert_same(torch.compile(run, fullgraph=True, backend="aot_eager"), run, given)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in BY_DEFAULT])
def test_all_others_compiled(name: str) -> None:
    given = problem(name, "auto", 9)
    run = traceable(given, {})
    assert_same(torch.compile(run, fullgraph=True, backend="aot_eager"), run, given)


@pytest.mark.parametrize("name", ["gated_deltanet", "lstm"])
def test_compiled_packed(name: str) -> None:
    given = problem(name, "auto", 9, rows=1)
    given = given.with_tensors([*given.inputs, *given.params, *(s.expand(3, *s.shape[1:]) for s in given.states)])
    run = traceable(given, {"cu_seqlens": torch.tensor([0, 4, 4, 9])})
    assert_same(torch.compile(run, fullgraph=True, backend="aot_eager"), run, given)


@pytest.mark.parametrize("name", ["gated_deltanet", "gru"])
def test_one_graph_for_all_lengths(name: str) -> None:
    """The number of steps and of rows is dynamic: further lengths compile nothing."""
    graphs = 0

    def count(graph: Any, inputs: Any) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    first = problem(name, "auto", 5, rows=7)  # no two sizes are equal: the tracer would take that for a rule
    run = traceable(first, {})
    compiled = torch.compile(run, fullgraph=True, backend=count, dynamic=True)
    for steps, rows in ((5, 7), (70, 7), (130, 3), (9, 4)):
        given = problem(name, "auto", steps, rows)
        assert_close(tuple(compiled(*given.tensors)), run(*given.tensors))
    assert graphs == 1


@pytest.mark.parametrize("dynamic", [False, True])
def test_whole_graph_without_a_backend(dynamic: bool) -> None:
    given = problem("mamba2", "scan", 66)
    run = traceable(given, {})
    assert_same(torch.compile(run, fullgraph=True, backend="eager", dynamic=dynamic), run, given)


@pytest.mark.parametrize(("name", "method"), name_and_method())
def test_autocast_changes_nothing(name: str, method: str) -> None:
    given = problem(name, method, 9).to(torch.float32).leaves()
    wanted = call_flat(given)
    cotangents = random_like(wanted)
    expected = gradients(wanted, given.tensors, cotangents)
    with torch.autocast("cpu", torch.bfloat16):
        got = call_flat(given)
        found = gradients(got, given.tensors, cotangents)
    assert_close(got, wanted, rtol=0, atol=0)
    assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("name", each())
def test_checkpoint(name: str, use_reentrant: bool) -> None:
    given = problem(name, "auto", 9).leaves()
    wanted = call_flat(given)
    cotangents = random_like(wanted)

    def scalar(results: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([(r * c.conj()).real.sum() for r, c in zip(results, cotangents, strict=True)]).sum()

    scalar(wanted).backward()
    expected = [t.grad for t in given.tensors]
    again = given.leaves()

    def run(*tensors: Tensor) -> Tensor:
        return scalar(call_flat(again.with_tensors(tensors)))

    result = checkpoint(run, *again.tensors, use_reentrant=use_reentrant)
    assert isinstance(result, Tensor)
    result.backward()
    assert_close([t.grad for t in again.tensors], expected)
