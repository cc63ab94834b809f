"""Outputs, final states and gradients against plain loops, for every method, tile and shape."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from runtime_recurrences import SPECS, arguments, flat, methods, reference
from torch import Tensor
from torch.testing import assert_close

from recc.runtime import tiles
from recc.runtime.call import call, initial_state, step_call
from recc.runtime.costs import Expected

CASES = [(name, method) for name in SPECS for method in methods(name)]


def gradients(results: list[Tensor], tensors: list[Tensor], weights: list[Tensor]) -> tuple[Tensor, ...]:
    pairs = [(r, g) for r, g in zip(results, weights, strict=True) if r.requires_grad]
    if not pairs:
        return tuple(map(torch.zeros_like, tensors))
    return torch.autograd.grad([r for r, _ in pairs], tensors, [g for _, g in pairs], materialize_grads=True)


def assert_same(results: list[Tensor], expected: list[Tensor], tensors: list[Tensor]) -> None:
    """The same values and the same gradients, for random cotangents."""
    assert_close(results, expected)
    weights = [torch.randn_like(r) for r in results]
    assert_close(gradients(results, tensors, weights), gradients(expected, tensors, weights))


def run(name: str, tensors: tuple[list[Tensor], list[Tensor], Any], **options: Any) -> list[Tensor]:
    """Outputs and final states."""
    x, w, s = tensors
    spec = replace(SPECS[name], tile=options.pop("tile", None))
    outputs, final = call(spec, x, w, None if s is None else tuple(s), True, **options)
    return [*flat(outputs), *flat(final)]


def loop(name: str, x: list[Tensor], w: list[Tensor], s: list[Tensor] | None) -> list[Tensor]:
    outputs, final = reference(name, x, w, s)
    return [*outputs, *final]


@pytest.mark.parametrize("steps", [1, 4, 5, 23])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize(("name", "method"), CASES)
def test_a_sequence(name: str, method: str, given: bool, steps: int) -> None:
    x, w, s = arguments(name, 2, steps)
    tensors = [t.requires_grad_() for t in x + w + (s if given else [])]
    start = s if given else None
    for tile in (None, 4):
        assert_same(run(name, (x, w, start), method=method, tile=tile), loop(name, x, w, start), tensors)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_several_groups(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "STEP_ELEMENTS", 1)
    x, w, s = arguments(name, 2, 43)
    tensors = [t.requires_grad_() for t in x + w + s]
    assert_same(run(name, (x, w, s), method=method, tile=4), loop(name, x, w, s), tensors)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_in_reverse(name: str, method: str) -> None:
    x, w, s = arguments(name, 2, 9)
    tensors = [t.requires_grad_() for t in x + w + s]
    results = run(name, (x, w, s), method=method, tile=4, reverse=True)
    expected = loop(name, [t.flip(1) for t in x], w, s)
    count = len(SPECS[name].signature.outputs)
    assert_same(results, [t.flip(1) if i < count else t for i, t in enumerate(expected)], tensors)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_two_calls_are_one(name: str, method: str) -> None:
    x, w, s = arguments(name, 2, 13)
    tensors = [t.requires_grad_() for t in x + w + s]
    spec = replace(SPECS[name], tile=4)
    whole, last = call(spec, x, w, tuple(s), True, method=method)
    first, middle = call(spec, [t[:, :6] for t in x], w, tuple(s), True, method=method)
    second, end = call(spec, [t[:, 6:] for t in x], w, middle, True, method=method)
    joined = [torch.cat(pair, 1) for pair in zip(flat(first), flat(second), strict=True)]
    assert_same([*joined, *flat(end)], [*flat(whole), *flat(last)], tensors)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", SPECS)
def test_token_by_token(name: str, grad: bool) -> None:
    x, w, _ = arguments(name, 2, 5)
    tensors = [t.requires_grad_(grad) for t in x + w]
    whole, last = call(SPECS[name], x, w, output_final_state=True)
    state, kept = None, []
    for t in range(5):
        output, state = step_call(SPECS[name], state, [u[:, t] for u in x], w)
        kept.append(flat(output))
    joined = [torch.stack(column, 1) for column in zip(*kept, strict=True)]
    results, expected = [*joined, *flat(state)], [*flat(whole), *flat(last)]
    assert_close(results, expected)
    if grad:
        assert_same(results, expected, tensors)


@pytest.mark.parametrize(
    ("batch", "steps", "lanes"), [(0, 5, (2,)), (2, 0, (2,)), (0, 0, ()), (1, 1, ()), (2, 3, (2, 3))]
)
@pytest.mark.parametrize(("name", "method"), CASES)
def test_sizes_at_the_edge(name: str, method: str, batch: int, steps: int, lanes: tuple[int, ...]) -> None:
    x, w, s = arguments(name, batch, steps, lanes)
    tensors = [t.requires_grad_() for t in x + w + s]
    results = run(name, (x, w, s), method=method, tile=2)
    count = len(SPECS[name].signature.outputs)
    assert all(o.shape[: 2 + len(lanes)] == (batch, steps, *lanes) for o in results[:count])
    assert all(f.shape == t.shape for f, t in zip(results[count:], s, strict=True))
    if steps:
        assert_same(results, loop(name, x, w, s), tensors)
    else:
        assert_close(results[count:], s)
        sum(r.abs().sum() for r in results).backward()  # pyright: ignore[reportAttributeAccessIssue]
        assert_close([t.grad for t in s], [t.detach().sgn() for t in s])


@pytest.mark.parametrize("method", ["sequential", "scan"])
def test_lanes_broadcast(method: str) -> None:
    q, k, v, g, beta = arguments("delta", 2, 9, (2, 3))[0]
    x = [q, k[:, :, :1], v[:, :, 0], g[:, :, :, :1], beta[:, :, 0, 0]]
    s = [torch.randn(2, 3, 3, 2, dtype=torch.float64)]
    tensors = [t.requires_grad_() for t in x + s]
    full = [q, *(t.expand(2, 9, 2, 3, *t.shape[4:]) for t in (x[1], x[2].unsqueeze(2))), x[3].expand(2, 9, 2, 3)]
    full.append(x[4][:, :, None, None].expand(2, 9, 2, 3))
    expected = loop("delta", full, [], [s[0].unsqueeze(1).expand(2, 2, 3, 3, 2)])
    assert_same(run("delta", (x, [], s), method=method, tile=4), expected, tensors)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_memory_layout_does_not_matter(name: str, method: str) -> None:
    x, w, s = arguments(name, 1, 9)
    apart = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in x]
    same = [t[:, :1].expand_as(t) for t in x]
    tensors = [t.requires_grad_() for t in w + s]
    for given in (apart, same):
        assert_same(run(name, (given, w, s), method=method, tile=4), loop(name, given, w, s), tensors)


def test_params_by_batch_element() -> None:
    x, (u, U, h0), s = arguments("rnn", 2, 5)
    own = [torch.stack([u, 2 * u]), torch.stack([U, -U]).unsqueeze(1), h0]
    tensors = [t.requires_grad_() for t in x + own + s]
    results = run("rnn", (x, own, s), tile=2)
    parts = [loop("rnn", [x[0][b : b + 1]], [own[0][b], own[1][b, 0], h0], [s[0][b : b + 1]]) for b in range(2)]
    assert_same(results, [torch.cat(pair) for pair in zip(*parts, strict=True)], tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("name", "method"), [case for case in CASES if case[0] != "complex"])
def test_narrow_dtypes(name: str, method: str, dtype: torch.dtype) -> None:
    x, w, s = arguments(name, 2, 21)
    x = [t.to(dtype).requires_grad_() for t in x]
    w = [t.to(torch.float32).requires_grad_() for t in w]
    outputs, final = call(SPECS[name], x, w, output_final_state=True, method=method)
    exact = [t.detach().double() for t in x], [t.detach().double() for t in w]
    expected, last = reference(name, *exact, None)
    assert {o.dtype for o in flat(outputs)} == {dtype} and {f.dtype for f in flat(final)} == {torch.float32}
    assert_close(flat(final), [t.float() for t in last], atol=2e-4, rtol=2e-4)
    assert_close(flat(outputs), [t.to(dtype) for t in expected], atol=1e-2, rtol=2e-2)
    sum(o.float().sum() for o in flat(outputs)).backward()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(t.grad is not None and t.grad.dtype == t.dtype and t.grad.isfinite().all() for t in x)


def test_a_real_input_of_a_complex_port() -> None:
    (a, x), _, _ = arguments("complex", 2, 9)
    real = x.real.clone().requires_grad_()
    output, final = call(SPECS["complex"], [a, real], [], output_final_state=True, method="scan")
    expected, _ = reference("complex", [a, real.to(a.dtype)], [], None)
    assert_same([output], expected, [real])
    assert final.dtype == torch.complex128 and real.grad is None


def test_the_chain_is_long() -> None:
    x = [torch.full((1, 100_000, 1), value, requires_grad=True) for value in (0.999, 1.0)]
    for method in ("sequential", "scan"):
        output, _ = call(SPECS["linear"], x, [], method=method)
        assert_close(output[0, -1, 0].item(), 1000.0, rtol=1e-3, atol=0.0)
        (grad,) = torch.autograd.grad(output[0, -1].sum(), x[1])
        assert_close(grad.sum().item(), 1000.0, rtol=1e-3, atol=0.0)


def test_an_output_shares_no_memory_with_an_input() -> None:
    spec = SPECS["linear"]
    echo = replace(spec, primal=spec.primal._replace(finish=lambda y, p, c: ((p[1],), ())))
    x = torch.randn(1, 1, 3)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            output, final = call(echo, [x, x], [], output_final_state=True)
        before = x.clone()
        output.zero_()
        final.zero_()
        assert_close(x, before)


def test_final_states_and_entries_do_not_hold_all_steps() -> None:
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    x = [torch.rand(1, 1024, 1, 4, requires_grad=True) for _ in range(3)]
    x += [-torch.rand(1, 1024, 1, requires_grad=True), torch.rand(1, 1024, 1)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        call(SPECS["delta"], x, [], method="sequential")
    own = {t.data_ptr(): t for t in saved if all(t.data_ptr() != u.data_ptr() for u in x)}
    assert sum(t.numel() for t in own.values()) <= (1024 // 64 + 1) * 16


def test_initial_state() -> None:
    assert_close(initial_state(SPECS["linear"], 2, (3,), {"D": 4}), torch.zeros(2, 3, 4))
    states = initial_state(SPECS["cascade"], 2, sizes={"D": 4}, dtype=torch.bfloat16)
    assert states.C.shape == (2, 4) and states.m.tolist() == [-torch.inf] * 2 and states.m.dtype == torch.float32
    w = [torch.rand(4), torch.rand(4, 4), torch.rand(4, requires_grad=True)]
    start = initial_state(SPECS["rnn"], 2, w=w)
    assert_close(start, w[2].expand(2, 4))
    start.sum().backward()
    assert_close(w[2].grad, torch.full((4,), 2.0))
    with pytest.raises(ValueError, match=r"^initial_state: expected the size of D, the axis of h$"):
        initial_state(SPECS["linear"], 2)


def test_the_cost_model_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def cost(scan: float, *args: object) -> Expected:
        asked.append(args)
        return Expected(1.0, scan, math.inf)

    x, _, _ = arguments("linear", 2, 9, (5,))
    walked: list[str] = []
    monkeypatch.setattr(tiles, "scan_tiles", scan_noting(walked))
    for scan_time in (0.5, 2.0):
        walked.clear()
        spec = replace(SPECS["linear"], tile=2, cost=partial(cost, scan_time))
        call(spec, x, [])
        assert bool(walked) == (scan_time < 1.0)
    assert asked == [({"D": 3}, 9, 10, 1, False)] * 2
    call(spec, [x[0].requires_grad_(), *x[1:]], [])
    assert asked[-1] == ({"D": 3}, 9, 10, 1, True)


def scan_noting(walked: list[str]) -> Any:
    original = tiles.scan_tiles

    def scan(*args: Any) -> Any:
        walked.append("scan")
        return original(*args)

    return scan
