"""What the analysis finds in published recurrences."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from recc.frontend.parse import parse_file
from recc.frontend.resolve import resolve
from recc.passes.adjoint import adjoint
from recc.passes.analyse import Analysis, Proof, Refusal, analyse
from recc.passes.facts import facts
from tests.analysis.measure import levels, proof, spec

SPECS = Path(__file__).parents[2] / "specs"

FOUND = {
    "aaren": {
        "m": "(max,+) identity (running maximum)",
        "w": "scalar decay, in [0, 1]",
        "u": "scalar decay, in [0, 1]",
    },
    "delta_by_objective": {"S": "scalar decay x (identity + rank 1), decay in (0, 1]"},
    "deltanet": {"S": "identity + rank 1"},
    "deltaproduct": {"S": "scalar decay x product of 2 (identity + rank 1), decay in (0, 1]"},
    "ema": {"h": "time-invariant diagonal decay over D, in (0, 1)"},
    "gated_deltanet": {"S": "scalar decay x (identity + rank 1), decay in (0, 1]"},
    "gla": {"S": "diagonal decay over K, in (0, 1]"},
    "hgrn": {"h": "diagonal decay over D, in (0, 1)"},
    "linear_attention": {"S": "identity (running sum)", "z": "identity (running sum)"},
    "linear_scan": {"h": "diagonal over D"},
    "lru": {"h": "time-invariant diagonal over N, complex"},
    "mamba": {"h": "diagonal decay over D, N, in (0, 1)"},
    "mamba2": {"S": "scalar decay, in (0, 1)"},
    "mingru": {"h": "diagonal decay over D, in (0, 1)"},
    "minlstm": {"h": "diagonal decay over D, in (0, 1)"},
    "mlstm": {"m": "(max,+) scalar", "C": "scalar decay, in [0, 1]", "n": "scalar decay, in [0, 1]"},
    "retnet": {"S": "time-invariant scalar decay, in (0, 1)"},
    "rg_lru": {"h": "diagonal decay over D, in (0, 1)"},
}
REFUSED = {"gru": "sigmoid(x_z + h @ U_z)", "lstm": "sigmoid(x_o + h @ U_o)", "slstm": "sigmoid(o)"}


def analysed(name: str) -> Analysis:
    file = parse_file(str(SPECS / f"{name}.rec"))
    return analyse(resolve(file.recurrences[0], file))


@pytest.mark.parametrize("name", FOUND)
def test_structure(name: str) -> None:
    texts = {}
    for component in analysed(name).components:
        assert isinstance(component.verdict, Proof)
        texts |= {state: component.verdict.text for state in component.states}
    assert texts == FOUND[name]


@pytest.mark.parametrize("name", REFUSED)
def test_culprit(name: str) -> None:
    (found,) = analysed(name).refusals
    assert isinstance(found, Refusal)
    assert found.culprit.span.text == REFUSED[name]
    assert "sequential" in found.hint and found.reason.startswith("`sigmoid` of a value that depends on the previous")


@pytest.mark.parametrize(
    ("name", "state", "expected"),
    [
        ("deltaproduct", "d_S", "scalar decay x product of 2 (identity + rank 1), decay in (0, 1]"),
        ("kda", "d_S", "(identity + rank 1) x diagonal decay over K, decay in (0, 1]"),
        ("taylor_attention", "d_z2", "identity (running sum)"),
        ("loglinear_mamba2", "d_S", "scalar decay x (diagonal + rank 1), decay in (0, 1]"),
    ],
)
def test_an_adjoint_has_the_transposed_structure(name: str, state: str, expected: str) -> None:
    file = parse_file(str(SPECS / f"{name}.rec"))
    components = analyse(adjoint(resolve(file.recurrences[0], file))).components
    (verdict,) = (component.verdict for component in components if state in component.states)
    assert isinstance(verdict, Proof) and verdict.text == expected


def test_components_are_in_levels() -> None:
    assert levels(analysed("mlstm")) == [[("m",)], [("C",), ("n",)]]
    assert levels(analysed("lstm")) == [[("h", "c")]]
    assert levels(analysed("linear_attention")) == [[("S",), ("z",)]]


def test_a_cascade_is_not_one_hard_problem() -> None:
    text = "input x[D]\nstate a[D], b[D], c[D]\nc = c + b * a\nb = b + a * x\na = a + x"
    assert levels(analyse(spec(text))) == [[("a",)], [("b",)], [("c",)]]


def test_log_space_only_where_positive() -> None:
    def log_space(name: str) -> list[bool]:
        return [c.verdict.log_space for c in analysed(name).components if isinstance(c.verdict, Proof)]

    assert log_space("gla") == [True] and log_space("retnet") == [True]
    assert log_space("linear_scan") == [False]  # may be negative
    assert log_space("mlstm") == [False, False, False]  # zero while m is -inf
    assert log_space("lru") == [False] and log_space("deltanet") == [False]


def test_deltaproduct_of_many_steps_stays_cheap() -> None:
    file = parse_file(str(SPECS / "deltaproduct.rec"))
    (component,) = analyse(resolve(file.recurrences[0], file, {"n": 24})).components
    assert isinstance(component.verdict, Proof)
    assert component.verdict.structure.text == "scalar decay x product of 24 (identity + rank 1)"


OTHERS = {
    "hmm": (
        """input e[N]
        param A[N, N]
        state a[N]
        a[j] = logsumexp(a[i] + A[i, j], axis=i) + e[j]""",
        "(logsumexp,+) constant matrix over N x diagonal over N",
    ),
    "viterbi": (
        """input e[N]
        param A[N, N]
        state d[N]
        d[j] = max(d[i] + A[i, j], axis=i) + e[j]""",
        "(max,+) constant matrix over N x diagonal over N",
    ),
    "shortest path": ("input x[N]\nstate d[N]\nd = min(d + 1, x)", "(min,+) time-invariant scalar"),
    "kalman": (
        """input y
        param a, c, q, r
        state P = 1
        prior = a**2 * P + q
        P = r * prior / (c**2 * prior + r)""",
        "linear-fractional time-invariant 2x2 block",
    ),
    "rwkv7": (
        """input w[K], k[K], v[V], a[K], b[K]
        state S[K, V]
        S = exp(w) * S + outer(b, a @ S) + outer(k, v)""",
        "diagonal + rank 1",
    ),
    "common scalar": (
        """input k[K], b, g <= 0, v[V]
        state S[K, V]
        S = exp(g) * (S - b * outer(k, k @ S)) + outer(k, v)""",
        "scalar decay x (identity + rank 1), decay in (0, 1]",
    ),
    "no common scalar": (
        """input k[K], b, g, v[V]
        state S[K, V]
        S = g * S - b * outer(k, k @ S) + outer(k, v)""",
        "scalar + rank 1",
    ),
    "two separable terms": (
        """input k[K], w[K], v[V]
        state S[K, V]
        S = S - outer(k, k @ S) - outer(w, w @ S) + outer(k, v)""",
        "identity + rank 2",
    ),
    "one column vector": (
        """input k[K], w[K], v[V]
        state S[K, V]
        S = S - outer(k, k @ S) - outer(w, k @ S) + outer(k, v)""",
        "identity + rank 1",
    ),
    "householder matrix": (
        """input k[K], b, g, v[V]
        state S[K, V]
        H = eye(K) - b * outer(k, k)
        S = exp(g) * (H @ S) + outer(k, v)""",
        "scalar decay x (identity + rank 1), decay positive",
    ),
    "from the right": (
        """input k[V], b, v[K]
        state S[K, V]
        S = S @ (eye(V) - b * outer(k, k)) + outer(v, k)""",
        "identity + rank 1",
    ),
    "diagonal matrix": (
        """input g, x[K]
        state h[K]
        A = g * eye(K)
        h = A @ h + x""",
        "scalar",
    ),
    "legendre": (
        """input f
        param A[N, N]
        state c[N]
        c = (eye(N) - A / (t + 1)) @ c + f""",
        "scaled identity + scaled constant matrix over N",
    ),
    "scaled constant matrix": (
        """input a, b, x[N]
        param A[N, N]
        state h[N]
        h = a * h + b * (A @ h) + x""",
        "scaled identity + scaled constant matrix over N",
    ),
    "two constant matrices": (
        """input a, b, x[N]
        param A[N, N], B[N, N]
        state h[N]
        h = a * (A @ h) + b * (B @ h) + x""",
        "dense over N",
    ),
    "observed transitions": (
        """input e[N], x[N]
        param A[N, N]
        state h[N]
        h = e * (h @ A) + x""",
        "constant matrix over N x diagonal over N",
    ),
    "transitions of what is gated": (
        """input e[N], x[N]
        param A[N, N]
        state h[N]
        h = (e * h) @ A + x""",
        "diagonal over N x constant matrix over N",
    ),
    "implicit": ("input x[D]\nparam A[D, D]\nstate h[D]\nh = solve(A, h + x)", "time-invariant dense over D"),
    "shift": ("input x[D]\nstate h[D]\nh = roll(h, 1, axis=D) + x", "time-invariant dense over D"),
    "negative": ("input x[D]\nparam W[D, D]\nstate h[D]\nh = W @ x - h", "time-invariant scalar"),
    "one slot": ("input v[V]\nstate S[3, V]\nS[0] += v", "identity (running sum)"),
    "complex": (
        """input a[N]: complex, u[N]
        state h[N]: complex
        h = -a * h + u""",
        "diagonal over N, complex",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_recurrences(name: str) -> None:
    text, expected = OTHERS[name]
    assert proof(dedent(f"        {text}" if "\n        " in text else text)).text == expected


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("h = p * h + x", True),
        ("h = x * h", False),
        ("h = p * h + h * x", False),
        ("h = where(x > 0, h + x, h)", True),
        ("h = where(x > 0, roll(h, 1, axis=D), roll(h, 2, axis=D))", False),
        ("h = where(x > 0, 2 * h, h)", False),
        ("h = (t + 1) * h + x", False),
        ("c = p**2\nh = c * h + x", True),
        ("h = solve(outer(x, x), h)", False),
    ],
)
def test_time_invariance(update: str, expected: bool) -> None:
    assert proof(f"input x[D]\nparam p[D]\nstate h[D]\n{update}", "h").invariant is expected


def test_facts() -> None:
    (component,) = analysed("gated_deltanet").components
    assert isinstance(component.verdict, Proof)
    assert facts(component) == (
        "the transition is the same along V, crosses K",
        "products of steps do not keep the structure; one more step costs 1 + 4*K**2 operations",
        "what is added has rank 1 between K and V",
        "the eigenvalue apart from one is in (0, 1)",
    )
    (component,) = analysed("linear_scan").components
    assert isinstance(component.verdict, Proof)
    assert facts(component) == (
        "the transition differs along D",
        "products of steps have the same structure; one more step costs D operations",
        "the factor may be negative, so it may not be kept as a logarithm",
    )


def test_lags_are_constant() -> None:
    assert proof("input x[D]\nstate h[D]\nh = h + prev(x)", "prev_x").text.startswith("constant")


def test_axes_of_coupled_states() -> None:
    found = proof("input a[K], b, v[K, V]\nstate x[K, V], y[K, V]\nx, y = a * x + b * y + v, x - y", "x")
    assert found.axes == {"x": ("scaled", "batched"), "y": ("scaled", "batched")}
    turned = proof("input a[D]\nstate x[D, D], y[D, D]\nx, y = sum(a) * x + y.T, x", "x")
    assert turned.axes == {"x": ("mixed", "mixed"), "y": ("mixed", "mixed")}
    crossed = proof("input a[D]\nstate x[D, D], y[D, D]\nx, y = sum(a) * y.T, x.T", "x")
    assert crossed.axes == {"x": ("mixed", "mixed"), "y": ("mixed", "mixed")}
    lonely = proof("input a[K], c\nstate x[K], y\nx, y = a * x + a * y, c * y + sum(x)", "x")
    assert lonely.axes == {"x": ("mixed",), "y": ()}


@pytest.mark.parametrize(
    ("update", "axes"),
    [
        ("h = h + x", ("batched", "batched")),
        ("h = g * h + x", ("batched", "batched")),
        ("h = k * h + x", ("scaled", "batched")),
        ("h = x * h", ("scaled", "scaled")),
        ("h = outer(k, k @ h) + x", ("mixed", "batched")),
        ("h = outer(k, h[0]) + x", ("mixed", "batched")),
        ("h = v * roll(h, 1, axis=K) + x", ("mixed", "scaled")),
        ("h = where(x > 0, h, 0)", ("scaled", "scaled")),
        ("h = sum(h) + x", ("mixed", "mixed")),
        ("h = outer(k, v)", ("batched", "batched")),
    ],
)
def test_axes(update: str, axes: tuple[str, ...]) -> None:
    assert proof(f"input g, k[K], v[V], x[K, V]\nstate h[K, V]\n{update}", "h").axes == {"h": axes}
