"""torch.compile, torch.export, activation checkpointing and autocast."""

from typing import Any

import pytest
import torch
import torch._dynamo.testing
from runtime_recurrences import SPECS, arguments, flat
from test_values import assert_same
from torch import Tensor
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from recc.runtime.call import call, step_call
from recc.runtime.operator import OPERATORS, register_operator

BACKEND = "aot_eager"


@pytest.fixture(autouse=True)
def fresh_dynamo() -> None:
    torch._dynamo.reset()


def compiled(function: Any) -> Any:
    return torch.compile(function, fullgraph=True, backend=BACKEND)


def assert_compiles(name: str, rows: int, x: list[Tensor], w: list[Tensor], given: bool, **options: Any) -> None:
    s = tuple(arguments(name, rows, 1)[2]) if given else None
    tensors = [t.requires_grad_() for t in [*x, *w, *(s or ())]]

    def solve(*args: Any) -> list[Tensor]:
        outputs, final = call(SPECS[name], *args, **options)
        return [*flat(outputs), *flat(final)]

    assert_same(compiled(solve)(x, w, s, True), solve(x, w, s, True), tensors)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", SPECS)
def test_a_sequence(name: str, given: bool) -> None:
    x, w, _ = arguments(name, 2, 70)
    assert_compiles(name, 2, x, w, given, reverse=given)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", SPECS)
def test_packed_sequences(name: str, given: bool) -> None:
    x, w, _ = arguments(name, 1, 90)
    cu_seqlens = torch.tensor([0, 5, 5, 70, 90])
    assert_compiles(name, 4, x, w, given, cu_seqlens=cu_seqlens, reverse=not given)


def test_no_steps() -> None:
    x, w, _ = arguments("delta", 2, 0)
    assert_compiles("delta", 2, x, w, True)


def test_packed_sequences_that_are_all_empty() -> None:
    x, w, _ = arguments("delta", 1, 0)
    assert_compiles("delta", 2, x, w, True, cu_seqlens=torch.tensor([0, 0, 0]))


def test_params_by_sequence() -> None:
    x, (u, U, h0), _ = arguments("rnn", 1, 12)
    assert_compiles("rnn", 3, x, [torch.stack([u, -u, 2 * u]), U, h0], True, cu_seqlens=torch.tensor([0, 2, 9, 12]))


def test_one_graph_for_any_number_of_steps() -> None:
    counter = torch._dynamo.testing.CompileCounterWithBackend(BACKEND)
    solve = torch.compile(lambda x: call(SPECS["delta"], x, [], None, True), fullgraph=True, backend=counter)
    for steps in (70, 64, 3, 200, 63):
        x, _, _ = arguments("delta", 2, steps)
        for tensor in x:
            torch._dynamo.mark_dynamic(tensor, 1)
            tensor.requires_grad_()
        output, final = solve(x)
        assert_same([output, final], list(call(SPECS["delta"], x, [], None, True)), x)
    assert counter.frame_count == 1


@pytest.mark.parametrize("grad", [True, False])
def test_a_step(grad: bool) -> None:
    x, _, s = arguments("delta", 2, 1)
    x = [t[:, 0].requires_grad_(grad) for t in x]
    step = compiled(lambda s, x: step_call(SPECS["delta"], s, x, []))
    results, expected = list(step(s[0], x)), list(step_call(SPECS["delta"], s[0], x, []))
    assert_close(results, expected)
    if grad:
        assert_same(results, expected, x)


@pytest.mark.parametrize("compile_it", [True, False])
def test_autocast(compile_it: bool) -> None:
    x, w, _ = arguments("rnn", 2, 9, dtype=torch.float32)
    layer = torch.nn.Linear(3, 3)

    def model(x: Tensor) -> Tensor:
        return call(SPECS["rnn"], [layer(x)], w)[0]

    run = compiled(model) if compile_it else model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = run(x[0])
        inside = layer(x[0])
    assert output.dtype == inside.dtype == torch.bfloat16
    expected, _ = call(SPECS["rnn"], [inside.float()], w)
    assert_close(output, expected.bfloat16())
    output.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


class Layer(torch.nn.Module):
    def forward(self, a: Tensor, x: Tensor) -> Tensor:
        return call(SPECS["linear"], [a, x], [])[0]


def test_export() -> None:
    steps = torch.export.Dim("steps", min=2, max=4096)
    example = tuple(arguments("linear", 2, 70)[0])
    exported = torch.export.export(Layer(), example, dynamic_shapes=({1: steps}, {1: steps})).module()
    x, _, _ = arguments("linear", 2, 130)
    assert_close(exported(*x), Layer()(*x))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("name", SPECS)
def test_checkpoint(name: str, reentrant: bool) -> None:
    x, w, s = arguments(name, 2, 20)
    tensors = [t.requires_grad_() for t in x + w + s]

    def solve(*given: Tensor) -> tuple[Tensor, ...]:
        params, states = given[len(x) : len(x) + len(w)], given[len(x) + len(w) :]
        outputs, final = call(SPECS[name], given[: len(x)], params, states, True)
        return (*flat(outputs), *flat(final))

    def loss(results: tuple[Tensor, ...]) -> Tensor:
        return torch.stack([r.abs().square().sum() for r in results]).sum()

    expected = torch.autograd.grad(loss(solve(*tensors)), tensors, materialize_grads=True)
    loss(checkpoint(solve, *tensors, use_reentrant=reentrant)).backward()  # pyright: ignore[reportArgumentType]
    assert_close([torch.zeros_like(t) if t.grad is None else t.grad for t in tensors], list(expected))


def test_loading_a_module_twice() -> None:
    x, _, _ = arguments("delta", 2, 9)
    solve = compiled(lambda x: call(SPECS["delta"], x, [])[0])
    first = solve(x)
    register_operator(SPECS["delta"])
    del OPERATORS["gated_delta"]  # a second copy of an emitted module has a table of its own
    operator = torch.ops.recc_gated_delta.forward.default
    register_operator(SPECS["delta"])
    assert torch.ops.recc_gated_delta.forward.default is operator
    assert_close(solve(x), first)


def test_the_operators_are_well_formed() -> None:
    x, _, s = arguments("delta", 2, 70)
    tensors = [[t.requires_grad_() for t in x], [], [t.unsqueeze(1).requires_grad_() for t in s]]
    static = (None, [3, 2], [2], False, "scan", torch.float64, torch.float64, "auto")
    torch.library.opcheck(torch.ops.recc_gated_delta.forward.default, (*tensors, *static))
