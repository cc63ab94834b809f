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
    "D": 3, "K": 3, "V": 2, "N": 2, "P": 3, "M": 4, "C": 2, "R": 2, "F": 4, "X": 5, "L": 3, "U": 2, "E": 4, "Y": 2,
}  # fmt: skip
TINY = {
    "D": 2, "K": 2, "V": 1, "N": 1, "P": 2, "M": 2, "C": 1, "R": 2, "F": 2, "X": 3, "L": 2, "U": 1, "E": 2, "Y": 1,
}  # fmt: skip


class Port(NamedTuple):
    """Feature axes, such as `"K V"` (empty: a scalar), and the key in `DRAWS` of the values that are promised."""

    axes: str = ""
    domain: str = "real"


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


DRAWS: dict[str, Draw] = {
    "real": _real,
    "complex": _complex,
    "mixing": _mixing,
    "|k| = 1": _unit_norm,
    "(0, 1)": lambda shape, rng: rng.uniform(0.02, 0.98, shape),
    "[0, 1)": _with_zeros,
    "(0, 2)": lambda shape, rng: rng.uniform(0.02, 1.98, shape),
    "(-1.2, 1.2)": lambda shape, rng: rng.uniform(-1.2, 1.2, shape),
    "<= 0": lambda shape, rng: -_with_zeros(shape, rng),
}


def draw(
    ports: Mapping[str, Port], sizes: Mapping[str, int], lead: tuple[int, ...], rng: np.random.Generator
) -> Arrays:
    """One array of shape `(*lead, *features)` for every port. KeyError if a size is missing."""
    return {name: DRAWS[port.domain]((*lead, *extents(port, sizes)), rng) for name, port in ports.items()}
