"""LSRL (Petrov et al. 2024): parity of a count up to 2^L, by folding it L - 1 times at powers of two.

Between whole numbers the folded count is a zigzag of slope one, 0 at even numbers and 1 at odd ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .ports import Arrays, Port

CONSTANTS: dict[str, float] = {"L": 12}
SHAPES = {
    "inputs": {"bit": Port("", "(0, 1)")},
    "params": {},
    "states": {"ones": Port()},
    "outputs": {"odd": Port()},
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return {"ones": np.array(0.0)}


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    ones, odd = float(state["ones"]), np.zeros(len(inputs["bit"]))
    for t, bit in enumerate(inputs["bit"]):
        ones += bit
        odd[t] = 1 - abs(ones % 2 - 1)
    return {"odd": odd}, {"ones": np.array(ones)}
