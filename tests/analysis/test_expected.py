"""The structure of every published recurrence of the catalogue is found, and the methods that it admits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from recc.compiler import analyse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  (comes with pytest)

SPECS = Path(__file__).parents[2] / "specs"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((Path(__file__).parent / "expected.toml").read_text("utf-8"))
DEFAULTS = {"algebra": "(+,x)", "input": "added"}


def explained(name: str) -> dict[str, Any]:
    return json.loads(analyse(SPECS / f"{name}.rec").json())


def normal(component: dict[str, Any], known: list[str] | None = None) -> dict[str, Any]:
    """A component of `explain --json` with the keys that are only in the expectations."""
    factors = [item["family"] for item in component.get("factors", ()) if item["driver"] == "autonomous"]
    return {**component, "autonomous_factors": factors, "known": known}


def assert_found(expected: dict[str, Any], found: dict[str, Any]) -> None:
    defaults = DEFAULTS if expected["family"] != "nonlinear" else {}
    wanted = {**defaults, **expected}
    assert {key: found.get(key) for key in wanted} == wanted


def test_every_entry_has_a_spec() -> None:
    missing = [name for name in EXPECTED if not (SPECS / f"{name}.rec").exists()]
    assert not missing and len(EXPECTED) > 95


@pytest.mark.parametrize("name", EXPECTED)
def test_structure_and_methods(name: str) -> None:
    expected, found = EXPECTED[name], explained(name)
    components = found["components"]
    assert [item["states"] for item in components] == [item["states"] for item in expected["components"]]
    for wanted, component in zip(expected["components"], components, strict=True):
        assert_found(wanted, normal(component))
    inner = [normal(item, c["given"]["known"]) for c in components if "given" in c for item in c["given"]["components"]]
    assert [item["states"] for item in inner] == [item["states"] for item in expected.get("given", ())]
    for wanted, component in zip(expected.get("given", ()), inner, strict=True):
        assert_found(wanted, component)
    admitted = {item["name"] for item in found["admits"] if item["admitted"]}
    assert set(expected["methods"]) <= admitted
    assert {item["name"] for item in found["methods"]} <= admitted


JUMPS = ("lif_spiking", "slstm", "yaad")


def test_newton_is_for_continuous_nonlinear_updates() -> None:
    for name, expected in EXPECTED.items():
        families = [item["family"] for item in expected["components"]]
        (newton,) = (item for item in explained(name)["admits"] if item["name"] == "newton")
        assert newton["admitted"] is ("nonlinear" in families and name not in JUMPS), name
        assert newton["reason"]


@pytest.mark.parametrize(
    ("name", "method", "reason"),
    [
        ("mamba", "chunkwise", "no state is a matrix"),
        ("slice_block", "chunkwise", "no state is a matrix"),
        ("titans_linear", "chunkwise", "no compact form is known for products of 2x2 block + rank 1"),
        ("gla", "convolution", "`S`: the transition is not the same at every step"),
        ("hmm_forward", "convolution", "(logsumexp,+), not (+,x)"),
        ("gru", "scan", "`h` is not linear in any algebra: `sigmoid` of a value"),
        ("ttt_linear", "scan", "as long as `hold_W` and `hold_c` stand still the update is linear"),
        ("lif_spiking", "newton", "jumps"),
        ("gla", "newton", "a scan is exact"),
    ],
)
def test_reasons_of_what_is_not_admitted(name: str, method: str, reason: str) -> None:
    (found,) = (item for item in explained(name)["admits"] if item["name"] == method)
    assert not found["admitted"] and reason in found["reason"]
