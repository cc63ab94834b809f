"""One layer of a dilated RNN (Chang et al. 2017, arXiv 1710.02224), lag 2: the steps are two interleaved chains.

The state is `h` after the last step, and after the one before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .functions import into
from .ports import Arrays, ports, zeros

CONSTANTS: dict[str, float] = {"lag": 2}
SHAPES = {
    "inputs": ports("x", "D"),
    "params": ports("U", "D D", "mixing"),
    "states": ports("h prev_h_2", "D"),
    "outputs": ports("h", "D"),
}


def start(params: Arrays, sizes: Mapping[str, int]) -> Arrays:
    return zeros(SHAPES["states"], sizes)


def reference(inputs: Arrays, params: Arrays, state: Arrays) -> tuple[Arrays, Arrays]:
    T, D = inputs["x"].shape
    chains = [state["prev_h_2"].copy(), state["h"].copy()]
    for t in range(T):
        chains.append(np.array([math.tanh(inputs["x"][t, d] + into(d, chains[t], params["U"])) for d in range(D)]))
    return {"h": np.array(chains[2:]).reshape(T, D)}, {"h": chains[-1], "prev_h_2": chains[-2]}
