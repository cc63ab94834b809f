"""Random programs, emitted and compared with the interpreter: what no spec that ships happens to say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recc import cache
from recc.backends.torch.interface import Choices
from recc.backends.torch.module import Origin, emit_module
from recc.ir.nodes import Recurrence
from recc.passes.analyse import analyse
from recc.passes.methods import admitted
from recc.verify.cases import Caller, plan_cases
from recc.verify.oracle import Oracle
from recc.verify.samples import Shape
from tests.ir.random_programs import SIZES, random_recurrence

LENGTHS = (0, 1, 2, 19, 33)


def emitted(recurrence: Recurrence) -> tuple[Any, tuple[str, ...]]:
    """The function, and the methods that it admits."""
    analysis = analyse(recurrence)
    choices = Choices("auto", "torch", "", "", "random")
    text = emit_module(recurrence, analysis, Origin("random.rec", "0" * 64, "0", "random"), choices)
    module = cache.load("random", cache.key([text], {}), lambda: text)
    methods = admitted(recurrence, analysis)
    return getattr(module, recurrence.name), methods


def check(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recurrence = random_recurrence(rng, affine_bias=(0.0, 0.5, 1.0, 1.0)[seed % 4], complex=seed % 5 == 0)
    function, methods = emitted(recurrence)
    oracle = Oracle(recurrence, Shape(4, 2, max(LENGTHS), {**SIZES}))
    usable = [steps for steps in LENGTHS if steps <= max(oracle.forward.longest, 2)]
    caller = Caller(function, oracle, {steps: oracle.expect(steps) for steps in usable})
    for case in plan_cases(usable):
        for method in methods:
            found = caller.errors(case, method, torch.float64)
            assert found.value < 1e-9 and found.gradient < 1e-8, (case.text, method, found)


@pytest.mark.parametrize("seed", range(10))
def test_against_the_interpreter(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 400))
def test_many_against_the_interpreter(seed: int) -> None:
    check(seed)
