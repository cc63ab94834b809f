"""Equations as LaTeX."""

from __future__ import annotations

import pytest
from latex2mathml.converter import convert

from recc.catalogue import shipped
from recc.frontend.parse import parse_file, parse_text
from recc.typeset import latex, rows
from recc.typeset.equations import declared

HEAD = """recurrence r(n=2):
 input q[K], k[K], v[V], g <= 0, b in (0, 1]
 param A[K, K], log_A[K, K], x_z[K]
 state S[K, V], h[K]
"""

LINES = {
    "S = exp(g) * S": r"S \leftarrow e^{g}\, S",
    "h = x_z * h": r"h \leftarrow x_{z} \odot h",
    "S = S + b * outer(k, v - k @ S)": r"S \leftarrow S + b\, k\, \left(v - k^{\top} S\right)^{\top}",
    "h = A @ h": r"h \leftarrow A h",
    "h = A.T @ h": r"h \leftarrow A^{\top} h",
    "h = h - (h - k)": r"h \leftarrow h - \left(h - k\right)",
    "h = (h + k) / sqrt(1 + g**2)": r"h \leftarrow \frac{h + k}{\sqrt{1 + g^{2}}}",
    "h[j] = logsumexp(h[i] + log_A[i, j], axis=i)": (
        r"h_{j} \leftarrow \operatorname{logsumexp}_{i}\left(h_{i} + {\log A}_{i, j}\right)"
    ),
    "h = where(g > -1, h, 1e-3 * k)": (
        r"h \leftarrow \begin{cases} h & \text{if } g > -1 \\ 0.001\, k & \text{otherwise} \end{cases}"
    ),
    "h = prev(k) + hold(h, every=4)": r"h \leftarrow k^{(t - 1)} + h^{(4 \lfloor t / 4 \rfloor)}",
    "S = S - grad(sumsq(k @ S - v), S)": (
        r"S \leftarrow S - \nabla_{S} \left[\left\lVert k^{\top} S - v \right\rVert^{2}\right]"
    ),
    "h += sigmoid(k) * max(k, 0)": r"h \leftarrow h + \sigma\left(k\right) \odot \max\left(k, 0\right)",
    "h = k / 2 / b": r"h \leftarrow \frac{\frac{k}{2}}{b}",
    "h = -(k + h)": r"h \leftarrow -\left(k + h\right)",
    "h = k * (1 - b)": r"h \leftarrow k\, \left(1 - b\right)",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line(line: str) -> None:
    tree = parse_text(f"{HEAD} {line}\n output h\n").recurrences[0]
    assert rows(tree)[0].latex == LINES[line]


def test_blocks_are_indented() -> None:
    text = HEAD + " for j in n:\n  if g > -1:\n   h = h + 1\n  else:\n   h = k\n output h\n"
    found = rows(parse_text(text).recurrences[0])
    assert [row.depth for row in found] == [0, 1, 2, 1, 2, 0]
    assert found[0].latex == r"\text{for } j = 0, \dots, n - 1\text{:}"


def test_declarations() -> None:
    found = declared(parse_text(HEAD + " h = k\n output h\n").recurrences[0])
    assert found["inputs at each step"][0] == r"q \in \mathbb{R}^{K}"
    assert found["inputs at each step"][3:] == [r"g \in \mathbb{R},\ g \le 0", r"b \in (0, 1]"]
    assert found["states"] == [r"S \in \mathbb{R}^{K \times V}", r"h \in \mathbb{R}^{K}"]


@pytest.mark.parametrize("name", shipped())
def test_every_spec_is_valid_latex(name: str) -> None:
    """A LaTeX reader takes every row, and braces and environments of the whole are balanced."""
    (tree,) = parse_file(shipped()[name]).recurrences
    for row in rows(tree):
        assert "<math" in convert(row.latex)
    whole = latex(tree)
    assert whole.count("{") == whole.count("}")
    assert whole.count(r"\left") - whole.count(r"\leftarrow") == whole.count(r"\right")
