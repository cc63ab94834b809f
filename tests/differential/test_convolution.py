"""`method="convolution"` on recurrences beyond the catalogue, at its edges, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import recc
from recc import cache
from recc.catalogue import shipped
from recc.compiler import emit, front
from recc.passes.analyse import analyse
from recc.passes.lower_convolution import ConvolutionPlan, NoConvolution, convolution_of
from recc.passes.methods import admitted
from recc.runtime import linear_systems
from recc.verify import SIZES
from recc.verify.cases import Caller, plan_cases
from recc.verify.oracle import Oracle
from recc.verify.samples import Shape, symbolic_sizes
from tests.differential.test_random_modules import emitted
from tests.ir.random_programs import SIZES as RANDOM_SIZES
from tests.ir.random_programs import random_recurrence

LENGTHS = (0, 1, 2, 19, 33)

ADMITTED = {
    "a constant is added, and the readout is nonlinear": """
recurrence bias:
    input  x[D]
    param  A[D, D], b[D]
    state  h[D] = b
    h = 0.4 * tanh(A) @ h + x + b
    output y = tanh(h)
""",
    "what is added differs along an axis": """
recurrence shifted:
    input  x[D]
    param  b[D]
    state  h[D]
    h = 0.8 * (h + sin(b)) + x
    output h
""",
    "a corrected average reads the number of steps": """
recurrence counter:
    input  x[D]
    param  a[D] in (0, 1)
    state  h[D]
    h = a * h + (1 - a) * x
    output y[D] = h / (1 - a**(t + 1))
""",
    "states that drive each other": """
recurrence momentum:
    input  x[D]
    param  beta in (0, 1), lr
    state  m[D], w[D]
    m = beta * m + x
    w = 0.9 * w - lr * m
    output w, gate = sigmoid(m) * x
""",
    "systems that have nothing to do with each other": """
recurrence two:
    input  x[D], z[E]
    param  a[D] in (0, 1), c in (0, 1)
    state  h[D], g[E]
    h = a * h + x
    g = c * g + relu(z)
    output y = h, r = norm(g)
""",
    "delays": """
recurrence delays:
    input  x[D]
    state  h[D]
    h = x - prev(x, 3)
    output y = h + prev(h)
""",
    "nothing drives the state": """
recurrence autonomous:
    input  x
    param  A[N, N]
    state  h[N] = 1
    h = 0.3 * sin(A) @ h
    output y[N] = x * h
""",
    "a matrix state, mixed along one axis": """
recurrence columns:
    input  x[K, V]
    param  A[K, K], g[V] in (0, 1)
    state  S[K, V]
    S = g * ((0.4 * cos(A)) @ S) + x
    output o[V] = sum(S, axis=K)
""",
    "neighbours": """
recurrence neighbours:
    input  x[D]
    param  w
    state  h[D]
    h = 0.3 * roll(h, 1, axis=D) + 0.2 * sin(w) * h + x
    output h
""",
    "states that no output reads": """
recurrence unread:
    input  x[D]
    param  A[D, D]
    state  h[D], n
    h = 0.4 * sin(A) @ h + x
    n = 0.5 * n + sum(x)
    output y = 2 * x
""",
    "a complex and a real system": """
recurrence both_kinds:
    input  x[D]
    param  lam[D]: complex, C[D]: complex
    state  h[D]: complex, r[D]
    h = 0.9 * lam / (1 + abs(lam)) * h + x
    r = 0.5 * r + x
    output y = real(C * h) + r
""",
    "a choice between a real and a complex value": """
recurrence chosen:
    input  x, u: complex
    param  lam in (0, 1)
    state  h: complex
    h = lam * h + where(x > 0, x, u)
    output y: complex = where(x < 0, h, x)
""",
    "a rotation": """
recurrence rotation:
    input  x
    param  theta
    state  c, s
    c, s = 0.9 * (cos(theta) * c - sin(theta) * s) + x, 0.9 * (sin(theta) * c + cos(theta) * s)
    output y = c * s
""",
}

REFUSED = {
    "h = a * h + x": "a * h",
    "h = h / (1 + x**2) + x": "h / (1 + x**2)",
    "h = tanh(h) + x": "tanh(h)",
    "h = max(h, x)": "max(h, x)",
    "h = where(x > 0, 0.5 * h, h)": "where(x > 0, 0.5 * h, h)",
    "h = where(t % 3 == 0, 0, h) + x": "t % 3",
}


def function_of(source: str) -> Any:
    (recurrence,) = front(source).recurrences
    text = emit(source)
    return getattr(cache.load("convolved", cache.key([text], {}), lambda: text), recurrence.name)


@pytest.mark.parametrize("text", ADMITTED.values(), ids=ADMITTED.keys())
def test_against_the_interpreter(text: str) -> None:
    (recurrence,) = front(text).recurrences
    assert "convolution" in admitted(recurrence, analyse(recurrence))
    oracle = Oracle(recurrence, Shape(4, 2, max(LENGTHS), symbolic_sizes(recurrence, SIZES)))
    caller = Caller(function_of(text), oracle, {steps: oracle.expect(steps) for steps in LENGTHS})
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        for case in plan_cases(LENGTHS):
            found = caller.errors(case, "convolution", dtype)
            assert max(found.value, found.gradient) < tolerance, (case.text, found)


@pytest.mark.parametrize(("update", "culprit"), REFUSED.items())
def test_refusals(update: str, culprit: str) -> None:
    """What is refused is refused at its smallest culprit, by the compiler and in a call."""
    source = f"recurrence r:\n    input  x, a\n    state  h\n    {update}\n    output y = h + a\n"
    (recurrence,) = front(source).recurrences
    found = convolution_of(recurrence)
    assert isinstance(found, NoConvolution) and found.text == f"`{culprit}`"
    with pytest.raises(recc.SpecError, match="E205.*cannot be solved by convolutions"):
        emit(source, method="convolution")
    with pytest.raises(ValueError, match="method: r has no convolution: `"):
        function_of(source)(torch.ones(1, 2), torch.ones(1, 2), method="convolution")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 2000, 100))
def test_random_programs(first: int) -> None:
    """What is admitted has the interpreter's values; slopes differ where rounding breaks a tie of states."""
    found = 0
    for seed in range(first, first + 100):
        recurrence = random_recurrence(np.random.default_rng(seed), affine_bias=1.0, complex=seed % 5 == 0)
        if not isinstance(convolution_of(recurrence), ConvolutionPlan):
            continue
        found += 1
        function, methods = emitted(recurrence, "torch")
        assert "convolution" in methods
        oracle = Oracle(recurrence, Shape(4, 2, max(LENGTHS), {**RANDOM_SIZES}))
        usable = [steps for steps in LENGTHS if steps <= max(oracle.forward.longest, 2)]
        caller = Caller(function, oracle, {steps: oracle.expect(steps) for steps in usable})
        for case in plan_cases(usable):
            assert caller.errors(case, "convolution", torch.float64).value < 1e-9, (seed, case.text)
    assert found


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped())
def test_what_is_admitted_is_emitted(name: str) -> None:
    """The proof is made before the emission, on a recurrence that is scheduled once more there."""
    (recurrence,) = recc.check(name).recurrences
    emitted = "convolution=Convolution(" in emit(shipped()[name])
    assert emitted == ("convolution" in admitted(recurrence, analyse(recurrence)))


def test_large_inputs_of_a_state_are_refused() -> None:
    """`outer(k, v)` for all steps would be larger than all inputs and outputs."""
    (recurrence,) = recc.check("retnet").recurrences
    found = convolution_of(recurrence)
    assert isinstance(found, NoConvolution) and found.text == "`outer(k, v)`"


@pytest.mark.parametrize(
    ("name", "inputs", "kind"),
    [("lmu", ["u"], "dense"), ("lssl", ["u"], "dense"), ("s5", ["u"], "diagonal"), ("mega_ema", ["x"], "diagonal")],
)
def test_systems_are_driven_by_the_least(name: str, inputs: list[str], kind: str) -> None:
    """By u, not by the larger B u."""
    plan = convolution_of(recc.check(name).recurrences[0])
    assert isinstance(plan, ConvolutionPlan) and not plan.offset
    (system,) = plan.systems
    assert [var.name for var in system.inputs] == inputs and system.kind == kind


def test_slopes_where_there_are_none() -> None:
    """Zero inputs, at which `abs`, `norm`, `relu` and `max` have kinks: as in a walk."""
    function = function_of("""
recurrence kinks:
    input  x[D], z[D]
    param  a[D] in (0, 1)
    state  h[D]
    b = relu(x) + abs(z) + max(x, z) + norm(x) * z + where(x > 0, log(x), 0) + (x + 0.3) // 2 + z % 2
    h = a * h + b
    output y = abs(h) + relu(h), r = norm(h), m = max(h)
""")
    x, z = (torch.zeros(1, 4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    a = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)
    found = []
    for method in ("sequential", "convolution"):
        outputs, final = function(x, z, a, method=method, output_final_state=True)
        found.append(torch.autograd.grad(sum(t.sum() for t in outputs) + final.sum(), (x, z, a)))
    assert_close(found[1], found[0])


def test_a_sequence_of_several_segments() -> None:
    text = emit(
        "recurrence r:\n    input  x\n    param  A[N, N]\n    state  h[N] = 1\n    h = A @ h + x\n    output h\n"
    )
    text = text.replace(f"SEGMENT_STEPS = 2**{linear_systems.SEGMENT_STEPS.bit_length() - 1}", "SEGMENT_STEPS = 7")
    function = cache.load("segments", cache.key([text], {}), lambda: text).r
    x = torch.randn(2, 33, dtype=torch.float64, requires_grad=True)
    A = (0.3 * torch.randn(3, 3, dtype=torch.float64)).requires_grad_()
    results = []
    for method in ("sequential", "convolution"):
        h, final = function(x, A, method=method, output_final_state=True)
        results.append((h, final, *torch.autograd.grad(h.sin().sum() + final.cos().sum(), (x, A))))
    assert_close(results[1], results[0])


def test_a_hessian_and_batched_gradients() -> None:
    function = recc.load("mega_ema")
    x = torch.randn(1, 6, 2, dtype=torch.float64)
    params = [torch.rand(2, 3, dtype=torch.float64) for _ in range(4)]
    hessians, batched = [], []
    for method in ("sequential", "convolution"):

        def loss(alpha: torch.Tensor, method: str = method) -> torch.Tensor:
            return function(x, alpha, *params[1:], method=method)[0].sin().sum()

        hessians.append(torch.func.hessian(loss)(params[0]))
        batched.append(torch.func.vmap(torch.func.grad(loss))(torch.stack(params)))
    assert_close(hessians[1], hessians[0])
    assert_close(batched[1], batched[0])
