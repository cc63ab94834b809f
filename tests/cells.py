"""What the tests of the cells' references share: calls with arguments by name, and how results are compared."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_allclose

from tests.closed_forms import STEPS, torched
from tests.references import load, random_case
from tests.references.ports import SIZES, Array, Arrays, zeros

D = SIZES["D"]
SHUT = -800.0  # a gate that is exactly zero
NONE = np.zeros((D, D))


def run(name: str, values: Arrays, start: Arrays | None = None) -> Arrays:
    """Outputs of a reference; inputs and params are taken from `values`, the state is `start` or zero."""
    module = load(name)
    ports = module.SHAPES
    inputs, params = ({key: values[key] for key in ports[kind]} for kind in ("inputs", "params"))
    state = start or module.start(params, {**module.CONSTANTS, **SIZES})
    return module.reference(inputs, params, state)[0]


def drawn(name: str, rng: np.random.Generator, **replaced: Array) -> Arrays:
    """Random inputs and params together, some of them replaced."""
    inputs, params = random_case(name, STEPS, SIZES, rng)
    return {**inputs, **params, **replaced}


def random_start(name: str, rng: np.random.Generator) -> Arrays:
    module = load(name)
    empty = zeros(module.SHAPES["states"], {**module.CONSTANTS, **SIZES})
    return {key: 0.5 * rng.standard_normal(x.shape) for key, x in empty.items()}


def agree(first: Arrays, second: Arrays, *names: str) -> None:
    for name in names or first:
        assert_allclose(first[name], second[name], rtol=1e-11, atol=1e-13)
        assert np.abs(first[name]).max() > 1e-3


def sigmoid(x: Array) -> Array:
    return torch.sigmoid(torched(x)).numpy()
