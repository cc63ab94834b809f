"""References of nonlinear cells against torch's layers, and against each other where one is a case of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import recc
from recc.catalogue import shipped
from recc.passes.analyse import analyse
from recc.passes.lower_scan import is_scannable
from tests.cells import NONE, SHUT, STEPS, D, agree, drawn, random_start, run, sigmoid
from tests.closed_forms import torched
from tests.references import load
from tests.references.ports import SIZES, Array, Arrays


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240611)


# ------------------------------------------------------------------------------------------------- where they are


def test_cells_are_found_by_name_and_no_two_specs_share_one() -> None:
    found = shipped()
    assert found["mgu"].parent.name == "cells" and found["elman"].parent.name == "specs"
    names = Counter(path.stem for path in found["elman"].parent.rglob("*.rec"))
    assert set(names) == set(found) and set(names.values()) == {1}
    assert recc.check("mgu").recurrences[0].name == "mgu"


@pytest.mark.parametrize("name", ["t_rnn", "t_gru", "t_lstm", "sru", "qrnn", "attention_window"])
def test_cells_that_are_linear_in_their_state_have_a_scan(name: str) -> None:
    assert is_scannable(analyse(recc.check(name).recurrences[0]))
    assert not is_scannable(analyse(recc.check("sru_gated").recurrences[0]))


# ------------------------------------------------------------------------------------------------- torch's layers


def torch_layer(kind: Callable[..., torch.nn.RNNBase], matrices: list[Array], **options: str) -> torch.nn.RNNBase:
    """A layer whose input is projected already, with our recurrent matrices, gate after gate."""
    layer = kind(len(matrices) * D, D, dtype=torch.float64, **options)
    parameters = dict(layer.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.zero_()
        parameters["weight_ih_l0"].copy_(torch.eye(len(matrices) * D, dtype=torch.float64))
        parameters["weight_hh_l0"].copy_(torch.cat([torched(U).T for U in matrices]))
    return layer


@pytest.mark.parametrize(("name", "nonlinearity"), [("elman", "tanh"), ("irnn", "relu")])
def test_simple_networks_are_torch_rnn(name: str, nonlinearity: str, rng: np.random.Generator) -> None:
    values, start = drawn(name, rng), random_start(name, rng)
    layer = torch_layer(torch.nn.RNN, [values["U"]], nonlinearity=nonlinearity)
    expected, _ = layer(torched(values["x"]), torched(start["h"])[None])
    assert_allclose(run(name, values, start)["h"], expected.detach().numpy(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["peephole_lstm", "wmclstm", "mogrifier_lstm"])
def test_extended_lstms_without_their_extension_are_torch_lstm(name: str, rng: np.random.Generator) -> None:
    values, start = drawn(name, rng), random_start(name, rng)
    values |= {key: np.zeros_like(values[key]) for key in ("w_i", "w_f", "w_o", "V_i", "V_f", "V_o") if key in values}
    if name == "mogrifier_lstm":
        values |= {key: np.zeros_like(values[key]) for key in "QR"}  # a gate of 2 sigmoid(0) = 1
        matrices = list(values["U"])
        x = np.concatenate([values["x"] @ values["W"][j] + values["b"][j] for j in range(4)], axis=1)
    else:
        matrices = [values[f"U_{gate}"] for gate in "ifgo"]
        x = np.concatenate([values[f"x_{gate}"] for gate in "ifgo"], axis=1)
    layer = torch_layer(torch.nn.LSTM, matrices)
    expected, _ = layer(torched(x), (torched(start["h"])[None], torched(start["c"])[None]))
    assert_allclose(run(name, values, start)["h"], expected.detach().numpy(), rtol=1e-11, atol=1e-13)


def test_convlstm_is_a_cell_of_torch_convolutions(rng: np.random.Generator) -> None:
    values, start = drawn("convlstm", rng), random_start("convlstm", rng)
    h, c = torched(start["h"]), torched(start["c"])
    for t, got in enumerate(run("convlstm", values, start)["h"]):
        i, f, g, o = (
            torched(values[f"x_{gate}"][t])
            + torch.nn.functional.conv1d(h, torched(values[f"W_{gate}"]), padding="same")
            for gate in "ifgo"
        )
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        assert_allclose(got, h.numpy(), rtol=1e-11, atol=1e-13)


def test_fernn_is_a_shift_and_a_circular_convolution_of_torch(rng: np.random.Generator) -> None:
    values, h = drawn("fernn", rng), torch.zeros(3, SIZES["C"], SIZES["X"], dtype=torch.float64)
    layer = torch.nn.Conv1d(
        SIZES["C"], SIZES["C"], SIZES["R"], padding="same", padding_mode="circular", bias=False, dtype=torch.float64
    )
    layer.weight.data = torched(values["W"])
    outputs = run("fernn", values)
    for t in range(STEPS):
        moved = torch.stack([torch.roll(h[v], v - 1, dims=-1) for v in range(3)])
        h = torch.relu(layer(moved) + torched(values["u"][t])).detach()
        assert_allclose(outputs["h"][t], h.numpy(), rtol=1e-11, atol=1e-12)
        assert_array_equal(outputs["y"][t], outputs["h"][t].max(axis=0))


def test_fernn_follows_an_input_that_drifts(rng: np.random.Generator) -> None:
    """Where the input moves by one place a step, a velocity channel does what the next slower one did, moved along."""
    values = drawn("fernn", rng)
    drifting = {**values, "u": np.stack([np.roll(u, t, axis=-1) for t, u in enumerate(values["u"])])}
    still, moved = run("fernn", values)["h"], run("fernn", drifting)["h"]
    for t in range(STEPS):
        for v in (1, 2):
            assert_allclose(moved[t, v], np.roll(still[t, v - 1], t, axis=-1), rtol=1e-11, atol=1e-12)


# ------------------------------------------------------------------------------ one cell is a case of another one


def diagonal(values: Arrays, **names: str) -> Arrays:
    return {new: np.diag(values[old]) for new, old in names.items()}


DIAGONAL = {
    "paragru": ("gru_reset_before", {"U_z": "a_z", "U_r": "a_r", "U_h": "a_h"}),
    "indrnn": ("irnn", {"U": "u"}),
    "indylstm": ("lstm", {f"U_{gate}": f"u_{gate}" for gate in "ifgo"}),
    "brc": ("nbrc", {"U_a": "w_a", "U_c": "w_c"}),
}


@pytest.mark.parametrize("name", DIAGONAL)
def test_elementwise_cells_are_dense_ones_with_diagonal_matrices(name: str, rng: np.random.Generator) -> None:
    dense, matrices = DIAGONAL[name]
    values, start = drawn(name, rng), random_start(name, rng)
    agree(run(name, values, start), run(dense, {**values, **diagonal(values, **matrices)}, start))


def test_paralstm_without_peepholes_is_a_coupled_lstm(rng: np.random.Generator) -> None:
    values, start = drawn("paralstm", rng, p_f=np.zeros(D), p_o=np.zeros(D)), random_start("paralstm", rng)
    dense = {**values, "x_g": values["x_c"], **diagonal(values, U_f="a_f", U_g="a_c", U_o="a_o")}
    agree(run("paralstm", values, start), run("coupled_lstm", dense, start))


def test_coupled_lstm_is_an_lstm_whose_input_gate_is_the_complement(rng: np.random.Generator) -> None:
    values, start = drawn("coupled_lstm", rng), random_start("coupled_lstm", rng)
    agree(
        run("coupled_lstm", values, start), run("lstm", {**values, "x_i": -values["x_f"], "U_i": -values["U_f"]}, start)
    )


def test_minimal_gated_units_lose_one_term_after_the_other(rng: np.random.Generator) -> None:
    values, start = drawn("mgu1", rng), random_start("mgu1", rng)
    bias, state = np.broadcast_to(values["b_f"], (STEPS, D)), values["U_f"]
    agree(run("mgu1", values, start), run("mgu", {**values, "x_f": bias}, start))
    agree(run("mgu2", values, start), run("mgu", {**values, "x_f": 0 * bias}, start))
    agree(run("mgu3", values, start), run("mgu", {**values, "x_f": bias, "U_f": 0 * state}, start))


def test_minimal_gated_unit_is_a_gru_of_one_gate(rng: np.random.Generator) -> None:
    values, start = drawn("mgu", rng), random_start("mgu", rng)
    x, U = values["x_f"], values["U_f"]
    agree(run("mgu", values, start), run("gru_reset_before", {**values, "x_z": x, "x_r": x, "U_z": U, "U_r": U}, start))


def test_mutated_units_are_grus_but_for_their_mutation(rng: np.random.Generator) -> None:
    values, start = drawn("mut3", rng), random_start("mut3", rng)
    agree(run("mut2", values, start), run("gru_reset_before", values, start))
    first = {**values, "U_z": NONE, "x_h": np.tanh(values["x_h"])}
    agree(run("mut1", values, start), run("gru_reset_before", first, start))
    agree(run("mut3", {**values, "U_z": NONE}, start), run("mut2", {**values, "U_z": NONE}, start))
    small = {**values, "x_h": 0.01 * values["x_h"]}
    third, second = (run(name, small, {"h": np.zeros(D)})["h"] for name in ("mut3", "mut2"))
    assert 0 < np.abs(third - second).max() < 1e-7 < np.abs(third).max()


def test_update_gates_of_several_papers_are_one(rng: np.random.Generator) -> None:
    values, start = drawn("ugrnn", rng), random_start("ugrnn", rng)
    whole = run("ugrnn", values, start)
    renamed = {"x_f": values["x_g"], "U_f": values["U_g"]}
    module = load("janet")
    kept, module.CONSTANTS["beta"] = module.CONSTANTS["beta"], 0.0
    try:
        agree(whole, run("janet", {**values, **renamed}, start))
    finally:
        module.CONSTANTS["beta"] = kept
    light = {"x_h": values["x_c"], "x_f": -values["x_g"], "U_f": -values["U_g"]}
    agree(run("ugrnn", {**values, "U_c": NONE}, start), run("lightru", light, start))
    latent = {"z": np.tanh(values["x_c"]), "x_u": values["x_g"], "U": values["U_g"]}
    agree(run("ugrnn", {**values, "U_c": NONE}, start), run("minimalrnn", latent, start))
    shut = {"b_h": np.zeros((3, D)), "b_t": np.array([np.zeros(D), np.full(D, SHUT), np.full(D, SHUT)])}
    highway = {"R_h": np.stack([values["U_c"]] * 3), "R_t": np.stack([-values["U_g"], NONE, NONE])}
    deep = run("rhn", {"x_h": values["x_c"], "x_t": -values["x_g"], **shut, **highway}, {"s": start["h"]})
    agree(whole, deep)


def test_intersection_rnn_carries_a_ugrnn(rng: np.random.Generator) -> None:
    values, start = drawn("intersection_rnn", rng), random_start("intersection_rnn", rng)
    carried = run(
        "ugrnn", {"x_c": values["x_h"], "U_c": values["U_h"], "x_g": values["x_gh"], "U_g": values["U_gh"]}, start
    )
    before = np.concatenate([start["h"][None], carried["h"][:-1]])
    gate = sigmoid(values["x_gy"] + before @ values["U_gy"])
    expected = gate * values["x"] + (1 - gate) * np.maximum(values["x_y"] + before @ values["U_y"], 0)
    assert_allclose(run("intersection_rnn", values, start)["y"], expected, rtol=1e-11, atol=1e-13)


def test_fast_networks_are_leaky_and_gated_ones(rng: np.random.Generator) -> None:
    values, start = drawn("fastrnn", rng), random_start("fastrnn", rng)
    leak = load("esn").CONSTANTS["leak"]
    fast = run("fastrnn", {**values, "alpha": np.array(leak), "beta": np.array(1 - leak)}, start)
    agree(fast, run("esn", {**values, "W": values["U"], "b": np.zeros(D)}, start))
    values = drawn("fastgrnn", rng, zeta=np.array(1.0), nu=np.array(0.0))
    x, U = values["x"], values["U"]
    gated = {"x_c": x + values["b_h"], "x_g": x + values["b_z"], "U_c": U, "U_g": U}
    agree(run("fastgrnn", values, start), run("ugrnn", gated, start))


def test_a_firing_rate_network_of_unit_time_constants_is_an_irnn(rng: np.random.Generator) -> None:
    values, start = drawn("leaky_rnn", rng, tau=np.ones(D)), random_start("irnn", rng)
    got = run("leaky_rnn", values, {"r": start["h"]})
    agree({"h": got["r"]}, run("irnn", {**values, "U": values["W"]}, start))


def test_products_that_are_switched_off_leave_an_elman_network(rng: np.random.Generator) -> None:
    values, start = (
        drawn("mi_rnn", rng, alpha=np.zeros(D), beta_1=np.ones(D), beta_2=np.ones(D)),
        random_start("elman", rng),
    )
    agree(run("mi_rnn", values, start), run("elman", {**values, "x": values["x"] + values["b"]}, start))
    values = drawn("delta_rnn", rng, alpha=np.zeros(D), beta_1=np.ones(D), b_r=np.full(D, SHUT))
    inside = run("elman", {"x": values["beta_2"] * values["x"] + values["b"], "U": values["V"]}, start)["h"]
    assert_allclose(run("delta_rnn", values, start)["h"][0], np.tanh(inside[0]), rtol=1e-12)


def test_multiplicative_networks_have_a_matrix_for_every_input(rng: np.random.Generator) -> None:
    values, start = drawn("multiplicative_lstm", rng), random_start("multiplicative_lstm", rng)
    h, c = start["h"], start["c"]
    simple, single = run("multiplicative_rnn", values, {"h": h}), h
    for t, got in enumerate(run("multiplicative_lstm", values, start)["h"]):
        matrix = {gate: values["U_m"] @ np.diag(values["x_m"][t]) @ values[f"U_{gate}"] for gate in "hiof"}
        single = np.tanh(values["x_h"][t] + single @ matrix["h"])
        assert_allclose(simple["h"][t], single, rtol=1e-11, atol=1e-13)
        a = {gate: values[f"x_{gate}"][t] + h @ matrix[gate] for gate in "hiof"}
        c = sigmoid(a["f"]) * c + sigmoid(a["i"]) * np.tanh(a["h"])
        h = sigmoid(a["o"]) * np.tanh(c)
        assert_allclose(got, h, rtol=1e-11, atol=1e-13)


def test_phased_lstm_is_open_in_the_middle_of_its_phase_and_shut_at_its_start(rng: np.random.Generator) -> None:
    values, start = drawn("phased_lstm", rng, tau=np.ones(D), shift=np.zeros(D)), random_start("phased_lstm", rng)
    middle = np.arange(STEPS) + load("phased_lstm").CONSTANTS["r_on"] / 2
    opened = run("phased_lstm", {**values, "time": middle}, start)
    assert_allclose(opened["h"], run("peephole_lstm", values, start)["h"], rtol=1e-9, atol=1e-11)
    shut = run("phased_lstm", {**values, "time": np.arange(STEPS) * 1.0}, start)
    assert_array_equal(shut["h"], np.broadcast_to(start["h"], (STEPS, D)))


def test_dilated_rnn_is_two_interleaved_networks(rng: np.random.Generator) -> None:
    values = drawn("dilated_rnn", rng)
    whole = run("dilated_rnn", values)["h"]
    for parity in (0, 1):
        assert_array_equal(whole[parity::2], run("elman", {**values, "x": values["x"][parity::2]})["h"])


def test_clockwork_rnn_is_an_elman_network_with_a_block_triangular_matrix(rng: np.random.Generator) -> None:
    values = drawn("clockwork_rnn", rng)
    n, _ = values["x"].shape[1:]
    U = values["U"] * (np.arange(n)[:, None] >= np.arange(n))[..., None, None]
    matrix, h = U.transpose(0, 2, 1, 3).reshape(n * D, n * D), np.zeros(n * D)
    for t, got in enumerate(run("clockwork_rnn", values)["h"]):
        works = np.repeat(t % 2 ** np.arange(n) == 0, D)
        h = np.where(works, np.tanh(values["x"][t].reshape(-1) + h @ matrix), h)
        assert_allclose(got.reshape(-1), h, rtol=1e-11, atol=1e-13)


def test_second_order_and_jordan_networks_are_contractions_of_arrays(rng: np.random.Generator) -> None:
    values, s = drawn("second_order_rnn", rng), np.full(D, 0.5)
    for t, got in enumerate(run("second_order_rnn", values, {"s": s})["s"]):
        s = sigmoid(np.einsum("ikj,i,k->j", values["W"], s, values["x"][t]))
        assert_allclose(got, s, rtol=1e-11)
    values, y = drawn("jordan", rng), np.zeros(SIZES["M"])
    for t, got in enumerate(run("jordan", values)["y"]):
        y = sigmoid(sigmoid(values["x"][t] + y @ values["U"]) @ values["W"] + values["b"])
        assert_allclose(got, y, rtol=1e-11)
