"""Random programs, and small ones that were found with them, emitted and compared with the interpreter: what no spec
that ships happens to say."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from recc import cache
from recc.backends.torch.interface import Choices
from recc.backends.torch.module import Origin, emit_module
from recc.compiler import front
from recc.ir.nodes import (
    Binary,
    Const,
    Let,
    Output,
    Recurrence,
    Reduce,
    Roll,
    State,
    Unary,
    Var,
    Where,
    formal,
)
from recc.passes.analyse import analyse
from recc.passes.methods import admitted
from recc.verify.cases import Caller, plan_cases
from recc.verify.oracle import Oracle
from recc.verify.samples import Shape
from tests.ir.random_programs import SIZES, random_recurrence

LENGTHS = (0, 1, 2, 19, 33)


def emitted(recurrence: Recurrence, backend: str) -> tuple[Any, tuple[str, ...]]:
    """The function, and the methods that it admits."""
    analysis = analyse(recurrence)
    choices = Choices("auto", backend, "", "", "random")
    text = emit_module(recurrence, analysis, Origin("random.rec", "0" * 64, "0", "random"), choices)
    module = cache.load("random", cache.key([text], {}), lambda: text)
    if backend == "torch":
        return getattr(module, recurrence.name), admitted(recurrence, analysis)
    return getattr(module, recurrence.name), ("sequential",)


def drawn(seed: int) -> Recurrence:
    rng = np.random.default_rng(seed)
    return random_recurrence(rng, affine_bias=(0.0, 0.5, 1.0, 1.0)[seed % 4], complex=seed % 5 == 0)


def check(recurrence: Recurrence, backend: str = "torch") -> None:
    function, methods = emitted(recurrence, backend)
    oracle = Oracle(recurrence, Shape(4, 2, max(LENGTHS), {**SIZES}))
    usable = [steps for steps in LENGTHS if steps <= max(oracle.forward.longest, 2)]
    caller = Caller(function, oracle, {steps: oracle.expect(steps) for steps in usable})
    for case in plan_cases(usable):
        for method in methods:
            found = caller.errors(case, method, torch.float64, backend)
            assert found.value < 1e-9 and found.gradient < 1e-8, (case.text, method, found)


@pytest.mark.parametrize("seed", range(10))
def test_against_the_interpreter(seed: int) -> None:
    check(drawn(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_against_the_interpreter(seed: int) -> None:
    check(drawn(seed))


@pytest.mark.parametrize("seed", range(3))
def test_native_code_against_the_interpreter(seed: int) -> None:
    check(drawn(seed), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_much_native_code_against_the_interpreter(seed: int) -> None:
    check(drawn(seed), "cpu")


SMALL = {
    "condition on sizes": """
recurrence small:
    input  x[D]
    state  s
    s = 0.5 * s + exp(where(D > 2, max(x), 0)) + sum(where(D > 2, x, 1))
    output y[D] = s * where(D < 2, x, 2)
""",
    "total over a constant without time": """
recurrence small:
    input  x
    param  p[D], w[D, K]
    state  s
    s = 0.5 * s + x * sum(p * arange(D)) + sum(outer(x * arange(D), arange(K)) * w)
    output s
""",
    "constants that read each other": """
recurrence small:
    input  x
    param  p
    state  s
    s = 0.5 * s + tanh(tanh(p)) * x + sum(tanh(tanh(p)) * tanh(p) * x * arange(3))
    output s
""",
}


@pytest.mark.parametrize("backend", ["torch", "cpu"])
@pytest.mark.parametrize("text", SMALL.values(), ids=SMALL)
def test_small(text: str, backend: str) -> None:
    check(front(text).recurrences[0], backend)


@pytest.mark.parametrize("backend", ["torch", "cpu"])
def test_definitions_that_are_constant_along_their_axes(backend: str) -> None:
    """Sums, extrema, neighbours and comparisons of them count every place."""
    d, k = formal(("D", "K"))
    x, state = Var("x"), Var("s", ("D",))
    wide = Let("wide", (d,), Unary("tanh", x.ref()))
    number = Let("number", (d,), Const(0.5))
    same = Let("same", (d,), Binary("ge", x.ref(), Const(0)))
    twice = Let("twice", (d, k), Binary("mul", number.ref(), wide.ref()))
    moved = Let("moved", (d,), Roll(number.ref(), d, 1))
    parts = (
        Reduce("max", wide.ref(), (d,)),
        Reduce("logsumexp", wide.ref(), (d,)),
        Reduce("sum", number.ref(), (d,)),
        Reduce("sum", twice.ref(), (d, k)),
        Reduce("sum", moved.ref(), (d,)),
        Reduce("sum", Where(same.ref(), wide.ref(), Const(0.25)), (d,)),
    )
    total = reduce(lambda a, b: Binary("add", a, b), parts)
    update = Binary("add", Binary("mul", Const(0.5), state.ref()), total)
    sizes = Var("sizes", ("D", "K"))
    lets = (wide, number, same, twice, moved)
    outputs = (Output(Var("y", ("D", "K")), twice.ref()), Output(Var("z", ("D",)), state.ref()))
    made = Recurrence("small", (x, sizes), (), (State(state, Const(0)),), lets, (update,), outputs)
    check(made, backend)
