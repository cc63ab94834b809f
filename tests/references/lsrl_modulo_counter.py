"""LSRL (Petrov et al. 2024): f_modulo_counter, a position modulo n kept as a rotated unit vector.

The residue is the multiple of 2 pi / n that the vector points at, picked is x where that is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"n": 5}
ANGLE = 2 * math.pi / CONSTANTS["n"]
SHAPES = {
    "inputs": {"x": Port()},
    "params": {},
    "states": {"re": Port(), "im": Port()},
    "outputs": {"residue": Port(), "picked": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"re": np.array(math.cos(-ANGLE)), "im": np.array(math.sin(-ANGLE))}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    x, re, im = inputs["x"], float(state["re"]), float(state["im"])
    residue, picked = np.zeros(len(x)), np.zeros(len(x))
    for t in range(len(x)):
        re, im = math.cos(ANGLE) * re - math.sin(ANGLE) * im, math.sin(ANGLE) * re + math.cos(ANGLE) * im
        residue[t] = round(math.atan2(im, re) / ANGLE) % CONSTANTS["n"]
        picked[t] = x[t] if residue[t] == 0 else 0.0
    return {"residue": residue, "picked": picked}, {"re": np.array(re), "im": np.array(im)}
