"""Every structure obeys the same laws, means what it says, and is recognised in an update that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from recc.passes.analyse import Proof, analyse
from recc.structures.base import Structure, Values
from recc.structures.block import Block
from recc.structures.block_low_rank import BlockLowRank
from recc.structures.constant import Constant
from recc.structures.coupled import Coupled
from recc.structures.dense import Dense
from recc.structures.diagonal import Diagonal
from recc.structures.diagonal_low_rank import DiagonalLowRank
from recc.structures.identity import Identity
from recc.structures.identity_low_rank import IdentityLowRank
from recc.structures.matrix_fraction import MatrixFraction
from recc.structures.pencil import Pencil
from recc.structures.polynomial import Polynomial
from recc.structures.product import Product
from recc.structures.scalar import Scalar
from recc.structures.scaled_matrix import ScaledMatrix
from tests.analysis.measure import Array, Step, spec

SIZES = {"K": 3, "V": 2, "N": 4, "M": 2}


@dataclass(frozen=True)
class Example:
    """An update, the structure that must be found, and where its values come from."""

    update: str
    family: type[Structure]
    text: str
    values: dict[str, str]
    cost: str


EXAMPLES = (
    Example("input x[K]\nstate h[K]\nh = h + x", Identity, "identity (running sum)", {}, "0"),
    Example("input x[K]\nstate h[K]\nh = x", Constant, "constant", {}, "0"),
    Example("input g, x[K, V]\nstate h[K, V]\nh = g * h + x", Scalar, "scalar", {"factor": "g"}, "1"),
    Example("input a[K], x[K, V]\nstate h[K, V]\nh = a * h + x", Diagonal, "diagonal over K", {"factor": "a"}, "K"),
    Example(
        "input k[K], w[K], v[V]\nstate S[K, V]\nS = S + outer(k, w @ S) + outer(k, v)",
        IdentityLowRank,
        "identity + rank 1",
        {"rows": "k", "columns": "w"},
        "4*K**2",
    ),
    Example(
        "input k[M, K], w[M, K], v[V]\nstate S[K, V]\nS = S + sum(outer(k, w @ S), axis=M)+ outer(k[0], v)",
        IdentityLowRank,
        "identity + rank M",
        {"rows": "k", "columns": "w"},
        "4*K**2*M",
    ),
    Example(
        "input a[K], k[K], w[K], v[V]\nstate S[K, V]\nS = a * S + outer(k, w @ S) + outer(k, v)",
        DiagonalLowRank,
        "diagonal + rank 1",
        {"diagonal": "a", "rows": "k", "columns": "w"},
        "5*K**2",
    ),
    Example("input A[K, K], x[K]\nstate h[K]\nh = A @ h + x", Dense, "dense over K", {"matrix": "A"}, "2*K**3"),
    Example(
        "input A[N, K, K], x[K]\nstate h[N, K]\nh = A @ h + x",
        Dense,
        "block-diagonal over N, dense over K",
        {"matrix": "A"},
        "2*K**3*N",
    ),
    Example(
        "input a, b, x[K]\nparam A[K, K]\nstate h[K]\nh = a * h + b * (A @ h) + x",
        Pencil,
        "scaled identity + scaled constant matrix over K",
        {"scale": "a", "weight": "b", "matrix": "A"},
        "2*K**3",
    ),
    Example(
        "input a[K], x[K]\nparam A[K, K]\nstate h[K]\nh = a * (A @ h) + x",
        ScaledMatrix,
        "constant matrix over K x diagonal over K",
        {"after": "a", "matrix": "A"},
        "2*K**3",
    ),
    Example(
        "input a[K], b[K], x[K]\nparam A[K, K]\nstate h[K]\nh = a * (A @ (b * h)) + x",
        ScaledMatrix,
        "diagonal over K x constant matrix over K x diagonal over K",
        {"after": "a", "before": "b", "matrix": "A"},
        "2*K**3",
    ),
)


def found(example: Example) -> tuple[Structure, Step]:
    recurrence = spec(example.update)
    (component,) = analyse(recurrence).components
    assert isinstance(component.verdict, Proof)
    return component.verdict.structure, Step(recurrence, np.random.default_rng(3), SIZES)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.text)
def test_recognised_and_meant(example: Example) -> None:
    structure, step = found(example)
    assert type(structure) is example.family
    assert structure.text.startswith(example.text)
    shapes = structure.shapes(SIZES)
    assert set(shapes) == set(example.values)
    values = {name: step.env[source].reshape(shapes[name]) for name, source in example.values.items()}
    name = step.recurrence.state_names[0]
    assert np.allclose(structure.dense(values, SIZES), step.jacobian(name, name, (name,)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.text)
def test_cost_of_a_composition(example: Example) -> None:
    assert str(found(example)[0].composition) == example.cost


def test_both_sides_of_a_matrix() -> None:
    """A stage that acts along two axes is the product of what it does along each, or is not taken apart."""
    texts = {
        "F @ S @ F.T": "time-invariant dense over K x dense over K",
        "S - outer(k, w @ S) - outer(S @ k, w) + (w @ S @ k) * outer(k, w)": "(identity + rank 1 over K) x "
        "(identity + rank 1 over K)",
        "S - outer(k, w @ S) - outer(S @ k, w)": "dense over K, K",
    }
    for update, text in texts.items():
        recurrence = spec(f"input k[K], w[K]\nparam F[K, K]\nstate S[K, K]\nS = {update}")
        (component,) = analyse(recurrence).components
        assert isinstance(component.verdict, Proof) and component.verdict.text == text


def test_blocks_between_states() -> None:
    recurrence = spec("input a[K], b[K], c[K], d[K]\nstate x[K], y[K]\nx, y = a * x + b * y, c * x + d * y")
    (component,) = analyse(recurrence).components
    assert isinstance(component.verdict, Proof)
    structure = component.verdict.structure
    assert isinstance(structure, Block) and structure.text == "2x2 blocks over K"
    step = Step(recurrence, np.random.default_rng(5), SIZES)
    values = {"block": np.array([[step.env["a"], step.env["b"]], [step.env["c"], step.env["d"]]])}
    whole = structure.dense(values, SIZES)
    for row, target in enumerate("xy"):
        for column, source in enumerate("xy"):
            assert np.allclose(whole[row, :, column], step.jacobian(target, source, ("x", "y")))


def test_momentum_is_blocks_and_a_low_rank_term() -> None:
    recurrence = spec(
        "input k[K], v[V], a, b\nstate M[K, V], S[K, V]\nS = a * S - outer(k, k @ M - v)\nM = b * M + S",
    )
    (component,) = analyse(recurrence).components
    assert isinstance(component.verdict, Proof)
    structure = component.verdict.structure
    assert isinstance(structure, BlockLowRank) and structure.text == "2x2 block + rank 1"
    step = Step(recurrence, np.random.default_rng(5), SIZES)
    k, a, b = step.env["k"], step.env["a"], step.env["b"]
    values = {
        "block": np.array([[b, a], [0, a]]).reshape(structure.shapes(SIZES)["block"]),
        "rows": -np.stack([k, k])[None],
        "columns": np.stack([k, 0 * k])[None],
    }
    assert {name: value.shape for name, value in values.items()} == structure.shapes(SIZES)
    whole = structure.dense(values, SIZES)
    for row, target in enumerate("MS"):
        for column, source in enumerate("MS"):
            assert np.allclose(whole[row, :, :, column], step.jacobian(target, source, ("M", "S")))


def test_coupled_terms_that_are_not_separable_are_dense() -> None:
    text = "input A[K, K], k[K], v[V], a\nstate M[K, V], S[K, V]\nS = a * S - A @ M\nM = M + S + outer(k, v)"
    (component,) = analyse(spec(text)).components
    assert isinstance(component.verdict, Proof) and isinstance(component.verdict.structure, Coupled)


def test_product_of_stages_is_the_jacobian() -> None:
    recurrence = spec(
        "input k[2, K], b[2], g, v[V]\nstate S[K, V]\nS = exp(g) * S\n"
        "for j in 2: S = S - b[j] * outer(k[j], k[j] @ S - v)"
    )
    (component,) = analyse(recurrence).components
    assert isinstance(component.verdict, Proof)
    structure = component.verdict.structure
    assert isinstance(structure, Product)
    assert structure.text == "scalar decay x product of 2 (identity + rank 1)"
    step = Step(recurrence, np.random.default_rng(7), SIZES)
    k, b = step.env["k"], step.env["b"]
    values: Values = {"0 factor": np.exp(step.env["g"])}
    for stage in (0, 1):
        values[f"{stage + 1} rows"] = -b[stage] * k[stage][None]
        values[f"{stage + 1} columns"] = k[stage][None]
    assert np.allclose(structure.dense(values, SIZES), step.jacobian("S", "S", ("S",)))


def closed_examples() -> list[Any]:
    closed = [found(example)[0] for example in EXAMPLES]
    blocks = analyse(spec("input a[K], b[K]\nstate x[K], y[K]\nx, y = a * x + b * y, b * x - a * y")).components[0]
    coupled = analyse(spec("input a[K], c\nstate x[K], y\nx, y = a * x + a * y, c * y + sum(x)")).components[0]
    for component in (blocks, coupled):
        assert isinstance(component.verdict, Proof)
        closed.append(component.verdict.structure)
    assert isinstance(closed[-1], Coupled) and closed[-1].text == "dense over K and 2 states"
    return [structure for structure in closed if structure.closed]


def test_linear_fractional_maps_of_matrices() -> None:
    """Their composition is the product of the linear maps of `(X, Y)`, and both mean the map of `P = X Y^-1`."""
    update = (
        "input a[D], u[D], r > 0\nstate P[D, D]\nP = P + outer(a, a)\nP = P - outer(P @ u, u @ P) / (u @ P @ u + r)"
    )
    (component,) = analyse(spec(update)).components
    assert isinstance(component.verdict, Proof)
    structure: Any = component.verdict.structure
    assert isinstance(structure, MatrixFraction) and structure.text == "Riccati map of D x D matrices"
    assert str(structure.composition) == "12*D**2"
    rng, size = np.random.default_rng(11), {"D": 3}
    first, second = ({name: rng.standard_normal(shape) for name, shape in structure.shapes(size).items()} for _ in "ab")
    for values in (first, second):
        values |= {name: values[name] @ values[name].T for name in "CJ"}
    product = structure.dense(structure.compose(first, second), size).reshape(6, 6)
    assert np.allclose(
        product, structure.dense(first, size).reshape(6, 6) @ structure.dense(second, size).reshape(6, 6)
    )
    P = rng.standard_normal((3, 3))
    X, Y = np.split(product @ np.concatenate([P, np.eye(3)]), 2)
    for values in (second, first):
        A, C, J = (values[name] for name in "ACJ")
        P = A @ np.linalg.solve(np.eye(3) + P @ J, P) @ A.T + C
    assert np.allclose(X @ np.linalg.inv(Y), P)


def draw(structure: Structure, rng: np.random.Generator) -> Values:
    return {name: rng.standard_normal(shape) for name, shape in structure.shapes(SIZES).items()}


@pytest.mark.parametrize("structure", closed_examples(), ids=lambda s: s.text)
def test_laws_of_closed_structures(structure: Any) -> None:
    rng = np.random.default_rng(11)
    a, b, c = (draw(structure, rng) for _ in range(3))

    def square(values: Values) -> Array:
        whole = structure.dense(values, SIZES)
        return whole.reshape(-1, int(np.sqrt(whole.size))) if whole.ndim % 2 == 0 else whole

    product = square(structure.compose(a, b))
    assert np.allclose(product, square(a) @ square(b))
    left = structure.compose(structure.compose(a, b), c)
    right = structure.compose(a, structure.compose(b, c))
    assert all(np.allclose(left[name], right[name]) for name in left)
    x = rng.standard_normal(product.shape[-1])
    assert np.allclose(product @ x, square(a) @ (square(b) @ x))


def test_pencils_commute() -> None:
    structure = next(found(example)[0] for example in EXAMPLES if example.family is Pencil)
    rng = np.random.default_rng(17)
    first, second = draw(structure, rng), draw(structure, rng)
    second["matrix"] = first["matrix"]
    a, b = structure.dense(first, SIZES), structure.dense(second, SIZES)
    assert structure.commuting and np.allclose(a @ b, b @ a)


@pytest.mark.parametrize("family", [IdentityLowRank, DiagonalLowRank])
def test_low_rank_products_grow_in_rank(family: type[Structure]) -> None:
    example = next(example for example in EXAMPLES if example.family is family)
    structure, _ = found(example)
    assert not structure.closed
    rng = np.random.default_rng(13)
    sizes = {**SIZES, "K": 6}
    maps = []
    for _ in range(2):
        values = {name: rng.standard_normal(shape) for name, shape in structure.shapes(sizes).items()}
        maps.append(structure.dense(values, sizes)[:, 0, :, 0])
    crossing = (maps[0] @ maps[1])[:3, 3:]
    assert np.linalg.matrix_rank(maps[0][:3, 3:]) == 1
    assert np.linalg.matrix_rank(crossing) == 2


def test_polynomials() -> None:
    k, two = Polynomial.product(("K",)), Polynomial.product((2,))
    assert str(k * k * two + k) == "K + 2*K**2"
    assert (k * k * two + k).at({"K": 3}) == 21
    assert str(Polynomial()) == "0" and str(two) == "2" and str(Polynomial.product(("V", "K", 3))) == "3*K*V"
    with pytest.raises(KeyError):
        k.at({"V": 1})
