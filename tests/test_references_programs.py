"""LSRL programs: references and compiled specs against plain programs, and against LSRL's steps made of ReLUs."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import recc
from tests.closed_forms import case, from_zero
from tests.references import load
from tests.references.ports import Array

T = 60


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240901)


@cache
def compiled(name: str, **constants: Any) -> Any:
    return recc.load(name, **constants)


def run(name: str, x: Array, **constants: Any) -> list[Array]:
    """The outputs of the compiled spec for one sequence, by a scan, in double precision."""
    outputs, _ = compiled(name, **constants)(torch.from_numpy(x)[None], method="scan")
    return [y[0].numpy() for y in (outputs if isinstance(outputs, tuple) else (outputs,))]


def step(x: Array | float) -> Array:
    """LSRL's f_step: exact on whole numbers."""
    return np.maximum(1000 * np.asarray(x), 0) - np.maximum(1000 * np.asarray(x) - 1, 0)


def test_majority(rng: np.random.Generator):
    bit = rng.integers(2, size=T).astype(float)
    ones, zeros = np.cumsum(bit), np.cumsum(1 - bit)
    assert (ones == zeros).any()
    outputs, _ = from_zero("lsrl_majority", {"bit": bit}, {})
    assert_array_equal(outputs["more"], ones > zeros)
    assert_array_equal(outputs["more"], step(ones - zeros))
    assert_array_equal(run("lsrl_majority", bit)[0], outputs["more"])


@pytest.mark.parametrize("n", [2, 3, 5, 7, 70])
def test_modulo_counter(n: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    x = rng.standard_normal(300)
    module = load("lsrl_modulo_counter")
    monkeypatch.setitem(module.CONSTANTS, "n", n)
    monkeypatch.setattr(module, "ANGLE", 2 * np.pi / n)
    outputs, final = module.reference({"x": x}, {}, module.start({}, {}))
    t = np.arange(300)
    assert_array_equal(outputs["residue"], t % n)
    assert_array_equal(outputs["picked"], np.where(t % n == 0, x, 0))
    angle = 2 * np.pi / n * np.arange(n)
    points = step(np.cos(angle) * final["re"] + np.sin(angle) * final["im"] - np.cos(np.pi / n))
    assert points @ np.arange(n) == 299 % n
    residue, picked = run("lsrl_modulo_counter", x, n=n)
    assert_array_equal(residue, outputs["residue"])
    assert_array_equal(picked, outputs["picked"])


def test_first_token_echo(rng: np.random.Generator):
    x = rng.standard_normal(T)
    outputs, final = from_zero("lsrl_first_token_echo", {"x": x}, {})
    assert_array_equal(outputs["echo"], x[0])
    assert final["n"] == T
    assert_array_equal(run("lsrl_first_token_echo", x)[0], x[0])


def test_parity_holds_for_every_count_up_to_its_bound():
    ones = np.arange(1, 2**12 + 1)
    outputs, _ = from_zero("lsrl_parity", {"bit": np.ones(2**12)}, {})
    assert_array_equal(outputs["odd"], ones % 2)
    assert_array_equal(run("lsrl_parity", np.ones(2**12))[0], ones % 2)
    folded = ones.astype(float)
    for power in range(11, 0, -1):
        folded = np.maximum(folded - 2**power, 0) + np.maximum(2**power - folded, 0)
    assert_array_equal(1 - np.maximum(folded - 1, 0) - np.maximum(1 - folded, 0), ones % 2)


def test_parity_fails_beyond_its_bound():
    """A piecewise linear function of a count has finitely many turns."""
    (odd,) = run("lsrl_parity", np.ones(12), L=2)
    assert_array_equal(odd[:4], [1, 0, 1, 0])
    assert_allclose(odd[4:], 0 - np.arange(1, 9))


def first_followers(tokens: Array, V: int) -> Array:
    """One-hot: what came after the token when it was seen first, with this step counted; zero if nothing did."""
    followers: dict[int, int] = {}
    recall = np.zeros((len(tokens), V))
    for t, token in enumerate(tokens):
        if t:
            followers.setdefault(int(tokens[t - 1]), int(token))
        if int(token) in followers:
            recall[t, followers[int(token)]] = 1
    return recall


@pytest.mark.parametrize("V", [2, 5])
def test_lookup_recalls_what_first_followed(V: int, rng: np.random.Generator):
    tokens = rng.integers(V, size=T)
    x, module = np.eye(V)[tokens], load("lsrl_lookup")
    outputs, _ = module.reference({"x": x}, {}, module.start({}, {"V": V}))
    expected = first_followers(tokens, V)
    assert 0 < expected.sum() < T
    assert_array_equal(outputs["recall"], expected)
    assert_array_equal(outputs["hit"], expected.sum(axis=1))
    recall, hit = run("lsrl_lookup", x)
    assert_array_equal(recall, expected)
    assert_array_equal(hit, expected.sum(axis=1))


@pytest.mark.parametrize(
    "name", ["lsrl_majority", "lsrl_modulo_counter", "lsrl_first_token_echo", "lsrl_parity", "lsrl_lookup"]
)
def test_every_program_is_a_cascade_of_scans(name: str, rng: np.random.Generator):
    """LSRL's state matrices are constant and its blocks form no cycle, so nothing needs a walk over time."""
    inputs, _, outputs, _ = case(name, rng, T)
    for got, want in zip(run(name, next(iter(inputs.values()))), outputs.values(), strict=True):
        assert_allclose(got, want, rtol=1e-12, atol=1e-12)
