"""Native code against the interpreter and against torch: values, gradients, element types, special values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

import recc
from recc.compiler import front
from recc.ir.evaluation import UNARY
from recc.verify import LENGTHS, _prepare
from recc.verify import SHORT as ONES
from recc.verify.cases import Case

SPECS = Path(__file__).parents[3] / "specs"
CHOSEN = ("aaren", "deltaproduct", "gated_deltanet", "gru", "linear_scan", "lru", "mamba", "mlstm")
SHORT = tuple(steps for steps in LENGTHS if steps <= 65)


def errors(path: Path, case_filter: str) -> dict[str, float]:
    recurrence = front(path).recurrences[0]
    subject = _prepare(recurrence, path, None, SHORT, ONES)
    worst = {"value": 0.0, "gradient": 0.0}
    for caller, cases in subject.parts:
        for case in cases:
            if case_filter in case.text:
                found = caller.errors(case, "sequential", torch.float64, "cpu")
                worst["value"] = max(worst["value"], found.value)
                worst["gradient"] = max(worst["gradient"], found.gradient)
    return worst


@pytest.mark.parametrize("name", CHOSEN)
def test_values_and_gradients(name: str) -> None:
    worst = errors(SPECS / f"{name}.rec", "")
    assert worst["value"] < 1e-11 and worst["gradient"] < 1e-11


def test_the_comparison_sees_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cases above would fail if a kernel's sums were off."""
    import recc.backends.cpu.module as module

    printed = module.print_source
    monkeypatch.setattr(
        module, "print_source", lambda *a: printed(*a).replace("out_h[i_D] = h_1", "out_h[i_D] = 2 * h_1")
    )
    assert errors(SPECS / "linear_scan.rec", "B=2")["value"] > 1e-3


RUNS = """recurrence runs:
    input  x[D], a[D] in (0, 1)
    param  w[D]
    state  h[D]
    h = a * h + x
    output y[D] = w * h
"""


def call(text: str, *tensors: torch.Tensor, backend: str, **options: object):
    return recc.load(text)(*tensors, backend=backend, output_final_state=True, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_and_out(dtype: torch.dtype) -> None:
    x, a = torch.randn(2, 40, 3, 5).to(dtype), torch.rand(2, 40, 3, 5).to(dtype)
    w = torch.randn(5)
    out, final = call(RUNS, x, a, w, backend="cpu")
    expected, state = call(RUNS, x, a, w, backend="torch")
    assert out.dtype == dtype and final.dtype == torch.float32
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(final, state)


def test_every_half_precision_number_survives() -> None:
    copy = "recurrence copy:\n    input  x[D]\n    state  h[D]\n    h = x\n    output h\n"
    for dtype in (torch.bfloat16, torch.float16):
        every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype).reshape(1, 256, 256)
        out, _ = call(copy, every, backend="cpu")
        assert torch.equal(out.isnan(), every.isnan())
        assert torch.equal(out.nan_to_num(), every.nan_to_num())
        values = torch.randn(1, 64, 256) * torch.logspace(-9, 6, 256)
        doubled, _ = call("recurrence d:\n    input x[D], y[D]\n    state h[D]\n    h = x + y\n    output h\n",
                          values.to(dtype), values.flip(1).to(dtype), backend="cpu")  # fmt: skip
        expected = (values.to(dtype).float() + values.flip(1).to(dtype).float()).to(dtype)
        torch.testing.assert_close(doubled, expected, rtol=0, atol=0, equal_nan=True)


FUNCTIONS = (
    "exp expm1 log log1p sqrt tanh sigmoid softplus logsigmoid relu abs sign floor ceil round sin cos atan erf".split()
)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1e-8, -1e-8, 1e-30, 20.0, -20.0, 87.0, -87.0, 88.9, -103.0, 700.0, -740.0,
           float("inf"), float("-inf"), float("nan"), 1e-310, 3e38, -3e38]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_special_values(name: str, dtype: torch.dtype) -> None:
    text = f"recurrence apply:\n    input  x[D]\n    state  h[D]\n    h = {name}(x)\n    output h\n"
    x = torch.cat([torch.tensor(SPECIAL, dtype=dtype), torch.linspace(-30, 30, 4073, dtype=dtype)]).reshape(1, 64, 64)
    out, _ = call(text, x, backend="cpu")
    with np.errstate(all="ignore"):
        expected = torch.from_numpy(UNARY[name](x.double().numpy())).to(dtype)
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.equal(out.isinf(), expected.isinf())
    tiny = torch.finfo(dtype).tiny
    inside = expected.isfinite()
    error = (out - expected)[inside].abs() / expected[inside].abs().clamp(min=tiny)
    assert error.max() <= 8 * torch.finfo(dtype).eps
    zero = (x == 0) & (expected == 0)
    if name in ("tanh", "expm1", "sqrt", "sin", "atan", "erf"):
        assert torch.equal(out[zero].signbit(), x[zero].signbit())


def test_nan_and_infinity_pass_through() -> None:
    text = (
        "recurrence peak:\n    input  x[D]\n    state  m = -inf\n    m = max(m, max(x))\n"
        "    output m, e[D] = exp(x - m)\n"
    )
    x = torch.full((1, 6, 5), float("-inf"))
    x[0, 2, 3], x[0, 4, 1] = 1.0, float("nan")
    (m, e), _ = call(text, x, backend="cpu")
    (m_, e_), _ = call(text, x, backend="torch")
    torch.testing.assert_close(m, m_, equal_nan=True)
    torch.testing.assert_close(e, e_, equal_nan=True)


def test_results_do_not_depend_on_threads() -> None:
    f = recc.load("gated_deltanet")
    q, k, v = (torch.randn(2, 300, 3, 16, requires_grad=True) for _ in range(3))
    g, beta = -torch.rand(2, 300, 3), torch.rand(2, 300, 3)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 1):
            torch.set_num_threads(threads)
            o, s = f(q, k, v, g, beta, backend="cpu", output_final_state=True)
            found.append((o, s, *torch.autograd.grad(o.sum() + s.sum(), (q, k, v))))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("size", [1, 15, 64, 96, 100, 129])
def test_sizes_that_are_no_multiple_of_a_tile(size: int) -> None:
    f = recc.load("gated_deltanet")
    q, k = (torch.randn(1, 9, 7, dtype=torch.float64, requires_grad=True) for _ in range(2))
    v = torch.randn(1, 9, size, dtype=torch.float64, requires_grad=True)
    g, beta = -torch.rand(1, 9, dtype=torch.float64), torch.rand(1, 9, dtype=torch.float64)
    results = []
    for backend in ("cpu", "torch"):
        o, _ = f(q, k * 0.1, v, g, beta, backend=backend)
        results.append((o, *torch.autograd.grad(o.square().sum(), (q, k, v))))
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_a_second_derivative_is_torchs() -> None:
    f = recc.load(RUNS)
    x, a = torch.randn(1, 5, 3, dtype=torch.float64, requires_grad=True), torch.rand(1, 5, 3, dtype=torch.float64)
    a, w = a.requires_grad_(), torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *t: f(*t, backend="cpu")[0], (x, a, w))


@pytest.mark.parametrize("reentrant", [False, True])
def test_under_a_checkpoint(reentrant: bool) -> None:
    f = recc.load(RUNS)
    x, a, w = torch.randn(2, 70, 3, requires_grad=True), torch.rand(2, 70, 3), torch.randn(3, requires_grad=True)

    def run(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return f(x, a, w, backend="cpu")[0]

    y = checkpoint(run, x, w, use_reentrant=reentrant)
    assert isinstance(y, torch.Tensor)
    y.square().sum().backward()
    want = torch.autograd.grad(run(x, w).square().sum(), (x, w))
    assert x.grad is not None and w.grad is not None
    assert torch.equal(x.grad, want[0]) and torch.equal(w.grad, want[1])


def test_under_torch_compile() -> None:
    f = recc.load(RUNS)
    x, a, w = torch.randn(2, 70, 3, requires_grad=True), torch.rand(2, 70, 3), torch.randn(3, requires_grad=True)
    compiled = torch.compile(lambda x, a, w: f(x, a, w, backend="cpu")[0], fullgraph=True, backend="aot_eager")
    for got, want in zip(*[torch.autograd.grad(h(x, a, w).square().sum(), (x, w)) for h in
                           (compiled, lambda x, a, w: f(x, a, w, backend="torch")[0])], strict=True):  # fmt: skip
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_cases_cover_packed_and_reverse() -> None:
    """`test_values_and_gradients` would be weak if its cases were."""
    from recc.verify.cases import plan_cases

    cases: tuple[Case, ...] = plan_cases(SHORT)
    assert any(case.packed for case in cases) and any(case.reverse for case in cases)
    assert any(case.layout == "strided" for case in cases)
