"""LaTeX as MathML, which browsers show without any script."""

from __future__ import annotations

import re
from functools import cache

from latex2mathml.converter import convert


@cache
def mathml(latex: str) -> str:
    """One inline `<math>` element."""
    text = convert(latex)
    return re.sub(r' xmlns="[^"]*"', "", text)
