"""What a reference's arrays look like, and random values for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Arrays = dict[str, Array]
Draw = Callable[[tuple[int, ...], np.random.Generator], Array]

# Small sizes of the symbolic axes, no two that meet alike where a mistake could hide, and smaller ones for derivatives.
SIZES = {
    "D": 3, "K": 3, "V": 2, "N": 2, "P": 3, "M": 4, "C": 2, "R": 3, "F": 4, "X": 5, "L": 3, "U": 2, "E": 4, "Y": 2,
}  # fmt: skip
TINY = {
    "D": 2, "K": 2, "V": 1, "N": 1, "P": 2, "M": 2, "C": 1, "R": 2, "F": 2, "X": 3, "L": 2, "U": 1, "E": 2, "Y": 1,
}  # fmt: skip


class Port(NamedTuple):
    """Feature axes, such as `"K V"` (empty: a scalar), and the key in `DRAWS` of the values that are promised; a state
    may be "whole"."""

    axes: str = ""
    domain: str = "real"

    @property
    def complex(self) -> bool:
        return self.domain.startswith("complex")

    @property
    def whole(self) -> bool:
        """Whether a derivative says nothing, as only whole numbers mean something."""
        return self.domain == "whole"


def ports(names: str, axes: str = "", domain: str = "real") -> dict[str, Port]:
    """Several ports that are alike: `ports("U_z U_r", "D D", "mixing")`."""
    return {name: Port(axes, domain) for name in names.split()}


def extents(port: Port, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The feature shape; an axis is a name in `sizes` or a number. KeyError if a size is missing."""
    return tuple(int(axis) if axis.isdecimal() else sizes[axis] for axis in port.axes.split())


def _real(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return rng.standard_normal(shape)


def _complex(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def _mixing(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A square matrix whose spectral radius stays near one."""
    return rng.standard_normal(shape) / np.sqrt(max(shape[-1], 1))


def _unit_norm(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    x = rng.standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def _with_zeros(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """In [0, 1), with its included end among the values."""
    return np.maximum(rng.uniform(-0.2, 0.98, shape), 0.0)


def _stable(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Continuous-time eigenvalues: in the left half of the plane, and away from zero."""
    return -rng.uniform(0.05, 1.5, shape) + 1j * rng.standard_normal(shape)


def _routing(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Weights along the last axis: the two largest of a softmax, renormalised, and exact zeros."""
    x = np.exp(rng.standard_normal(shape))
    kept = np.where(x >= np.sort(x, axis=-1)[..., -2:].min(axis=-1, keepdims=True), x, 0.0)
    return kept / kept.sum(axis=-1, keepdims=True)


def _disc(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Complex numbers inside of the unit circle."""
    return rng.uniform(0.0, 0.98, shape) * np.exp(1j * rng.uniform(-np.pi, np.pi, shape))


def _dissipative(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """A square matrix whose eigenvalues have negative real parts, as its symmetric part is negative definite."""
    x = rng.standard_normal(shape)
    return 0.5 * (x - x.T) - 0.5 * x @ x.T / len(x) - 0.1 * np.eye(len(x))


def _log_probabilities(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    x = rng.standard_normal(shape)
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def _log_transitions(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Rows that are log probabilities; what leads one state back has none, its logarithm is -inf."""
    x = np.where(np.eye(*shape, k=-1) == 1, -np.inf, rng.standard_normal(shape))
    return x - np.log(np.sum(np.exp(x), axis=-1, keepdims=True))


def _one_hot(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return np.eye(shape[-1])[rng.integers(shape[-1], size=shape[:-1])]


def _contracting(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """An array whose Frobenius norm is below one."""
    x = rng.standard_normal(shape)
    return 0.9 * x / np.linalg.norm(x)


def _signed(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """In [-1, 1], with both ends and zero among the values."""
    return np.clip(np.where(rng.uniform(size=shape) < 0.1, 0.0, rng.uniform(-1.2, 1.2, shape)), -1.0, 1.0)


DRAWS: dict[str, Draw] = {
    "real": _real,
    "complex": _complex,
    "complex, Re < 0": _stable,
    "routing": _routing,
    "complex, abs < 1": _disc,
    "dissipative": _dissipative,
    "log probabilities": _log_probabilities,
    "log transitions": _log_transitions,
    "one-hot": _one_hot,
    "{0, 1}": lambda shape, rng: rng.integers(2, size=shape).astype(float),
    "[-1, 1]": _signed,
    "small": lambda shape, rng: 0.2 * rng.standard_normal(shape),
    "mixing": _mixing,
    "|k| = 1": _unit_norm,
    "|u| = 1": _unit_norm,
    "|k| <= 1": lambda shape, rng: _unit_norm(shape, rng) * rng.uniform(0.1, 0.98, (*shape[:-1], 1)),
    "(0, 1)": lambda shape, rng: rng.uniform(0.02, 0.98, shape),
    "[0, 1)": _with_zeros,
    "(0, 2)": lambda shape, rng: rng.uniform(0.02, 1.98, shape),
    "(-1.2, 1.2)": lambda shape, rng: rng.uniform(-1.2, 1.2, shape),
    "norm < 1": _contracting,
    "[0, 1]": lambda shape, rng: np.clip(rng.uniform(-0.1, 1.1, shape), 0.0, 1.0),
    ">= 1": lambda shape, rng: 1 + _with_zeros(shape, rng),
    "> 0": lambda shape, rng: rng.uniform(0.1, 2.0, shape),
    "> 0, small": lambda shape, rng: rng.uniform(0.02, 0.2, shape),
    "(0, 1]": lambda shape, rng: np.minimum(rng.uniform(0.02, 1.2, shape), 1.0),
    "<= 0": lambda shape, rng: -_with_zeros(shape, rng),
    ">= 0": _with_zeros,
}


def draw(
    ports: Mapping[str, Port], sizes: Mapping[str, int], lead: tuple[int, ...], rng: np.random.Generator
) -> Arrays:
    """One array of shape `(*lead, *features)` for every port. KeyError if a size is missing."""
    return {name: DRAWS[port.domain]((*lead, *extents(port, sizes)), rng) for name, port in ports.items()}


def zeros(of: Mapping[str, Port], sizes: Mapping[str, int]) -> Arrays:
    """A real array of zeros for every port. KeyError if a size is missing."""
    return {name: np.zeros(extents(port, sizes)) for name, port in of.items()}
