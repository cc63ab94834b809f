"""Names as mathematics writes them: Greek letters, subscripts, and words in upright type."""

from __future__ import annotations

import re

GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split()
)
SPELLINGS = {"lam": "lambda", "eps": "epsilon", "inf": "infty"}


def name(text: str) -> str:
    r"""`beta` becomes `\beta`, `x_z` becomes `x_{z}`, `m_new` `m_{\text{new}}`, `S1` `S_{1}`, `log_A` `\log A`."""
    head, *rest = [part for part in text.split("_") if part] or [text]
    if head == "log" and rest:
        return rf"\log {name('_'.join(rest))}"
    digits = re.fullmatch(r"([A-Za-z]+)(\d+)", head)
    if digits:
        head, rest = digits[1], [digits[2], *rest]
    base = _word(head)
    return f"{base}_{{{', '.join(map(_word, rest))}}}" if rest else base


def _word(text: str) -> str:
    spelled = SPELLINGS.get(text, text)
    if spelled in GREEK or spelled == "infty":
        return f"\\{spelled}"
    return text if len(text) == 1 or text.isdecimal() else f"\\text{{{escape(text)}}}"


def escape(text: str) -> str:
    """Text inside of `\\text{...}`."""
    return re.sub(r"([#$%&_{}])", r"\\\1", text.replace("\\", ""))
