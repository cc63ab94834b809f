"""Sequences cut along an axis that nothing crosses: the same results, by more rows than there are sequences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import recc
from recc.passes.independent import independent_sizes

SPECS = Path(__file__).parents[3] / "specs"
T = 150  # several tiles
SHAPES = {
    "mlstm": {"q": (64,), "k": (64,), "v": (64,), "i": (), "f": ()},
    "gated_deltanet": {"q": (64,), "k": (64,), "v": (64,), "g": (), "beta": ()},
    "deltaproduct": {"q": (64,), "k": (2, 64), "v": (2, 64), "beta": (2,), "g": ()},
    "mamba": {"x": (256,), "dt": (256,), "B": (16,), "C": (16,)},
}


def draw(name: str, rows: int, steps: int) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    drawn = {
        key: 0.3 * torch.randn(rows, steps, *shape, generator=rng, dtype=torch.float64)
        for key, shape in SHAPES[name].items()
    }
    drawn |= {key: -drawn[key].abs() for key in ("g",) if key in drawn}
    drawn |= {key: drawn[key].sigmoid() for key in ("beta",) if key in drawn}
    if name == "mamba":
        drawn["A_log"] = torch.randn(256, 16, generator=rng, dtype=torch.float64)
        drawn["skip"] = torch.randn(256, generator=rng, dtype=torch.float64)
    return {key: value.requires_grad_() for key, value in drawn.items()}


def results(name: str, backend: str, given: dict[str, torch.Tensor], **options: object) -> list[torch.Tensor]:
    """Output, final states, and gradients of something that depends on all of them."""
    out, finals = recc.load(SPECS / f"{name}.rec")(**given, backend=backend, output_final_state=True, **options)
    finals = finals if isinstance(finals, tuple) else (finals,)
    loss = out.square().sum() + sum(final.square().sum() for final in finals)
    return [out, *finals, *torch.autograd.grad(loss, list(given.values()))]


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"cu_seqlens": torch.tensor([0, 9, 9, T])}])
@pytest.mark.parametrize("name", SHAPES)
def test_one_row_is_cut(name: str, options: dict[str, object]) -> None:
    given = draw(name, 1, T)
    for got, want in zip(results(name, "cpu", given, **options), results(name, "torch", given, **options), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_pieces_follow_from_shapes() -> None:
    """Modules carry the runtime's text along, so that what they choose is asked of the function itself."""
    module = recc.load(SPECS / "gated_deltanet.rec").__globals__
    found = {}
    for rows in (1, 2, 4):
        for width in (16, 64, 96, 128, 250):
            x = [torch.empty(rows, T, *shape) for shape in ((64,), (64,), (width,), (), ())]
            bound = module["bind"](module["SPEC"], x, (), None)
            cut = module["choose_cut"](module["SPEC"], bound, module["Choice"]("auto", "cpu"), "V")
            found[rows, width] = 1 if cut is None else cut.count
    assert found[1, 64] == found[2, 64] == 2 and found[1, 96] == 3 and found[1, 128] == 4
    assert all(count == 1 for (rows, width), count in found.items() if rows == 4 or width in (16, 250))


def test_results_do_not_depend_on_threads() -> None:
    given, before, found = draw("gated_deltanet", 1, 400), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(results("gated_deltanet", "cpu", given))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for other in found[1:] for x, y in zip(found[0], other, strict=True))


def test_a_second_derivative() -> None:
    f = recc.load(SPECS / "gated_deltanet.rec")
    given = draw("gated_deltanet", 1, 40)
    grads = {}
    for backend in ("cpu", "torch"):
        out, _ = f(**given, backend=backend)
        (first,) = torch.autograd.grad(out.square().sum(), given["k"], create_graph=True)
        grads[backend] = torch.autograd.grad(first.square().sum(), list(given.values()))
    for got, want in zip(grads["cpu"], grads["torch"], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_under_torch_compile() -> None:
    f = recc.load(SPECS / "mlstm.rec")
    given = draw("mlstm", 1, 70)
    compiled = torch.compile(lambda **x: f(**x, backend="cpu")[0], fullgraph=True, backend="aot_eager")
    gradients = [torch.autograd.grad(h(**given).square().sum(), list(given.values()))
                 for h in (compiled, lambda **x: f(**x, backend="torch")[0])]  # fmt: skip
    for got, want in zip(*gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


CROSSED = {
    "h = h + x * sum(x)": False,
    "h = h + softmax(x)": False,
    "h[i] = h[i] + i * x[i]": False,
    "h = h + x[0]": False,
    "h = h + roll(x, 1)": False,
    "h = h + x / D": False,
    "h = exp(x) * h + where(x > 0, w, 1)": True,
}


@pytest.mark.parametrize("equation", CROSSED)
def test_what_crosses_an_axis(equation: str) -> None:
    text = f"recurrence r:\n    input  x[D], w[D]\n    state  h[D]\n    {equation}\n    output h\n"
    (recurrence,) = recc.check(text).recurrences
    assert ("D" in independent_sizes(recurrence)) == CROSSED[equation]


def test_an_output_may_be_called_as_an_input_is() -> None:
    text = (
        "recurrence r:\n    input  x[D], eta in (0, 1)\n    state  h[D]\n    h = eta * h + x\n    output eta[D] = h\n"
    )
    (recurrence,) = recc.check(text).recurrences
    assert independent_sizes(recurrence) == ("D",)
    x, eta = torch.ones(1, 3, 2), torch.full((1, 3), 0.5)
    torch.testing.assert_close(recc.load(text)(x, eta, backend="cpu")[0][0, :, 0], torch.tensor([1, 1.5, 1.75]))
