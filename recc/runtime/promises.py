"""Debug mode: checks what the spec promises of inputs and params, in every call, when RECC_DEBUG is set."""

import os

from recc.runtime.program import Spec
from recc.runtime.tiles import Tensors


def check_promises(spec: Spec, x: Tensors, w: Tensors) -> None:
    """Raises ValueError for a promise that does not hold; does nothing unless the environment has RECC_DEBUG."""
    if spec.promises is None or os.environ.get("RECC_DEBUG", "0") in ("", "0"):
        return
    texts, conditions = spec.promises
    for text, holds in zip(texts, *conditions(x, w), strict=True):
        broken = int((~holds).sum())
        if broken:
            message = (
                f"{spec.signature.name}: promised `{text}`, which does not hold for {broken} of {holds.numel()} values"
            )
            raise ValueError(message)
