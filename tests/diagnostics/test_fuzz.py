"""Random damage to specs: the compiler either accepts what is left, or says what is wrong with it."""

from __future__ import annotations

import random
import re
from functools import cache
from pathlib import Path

import pytest

from recc.compiler import emit
from recc.diagnostics import SpecError

ROOT = Path(__file__).parent.parent.parent
TOKENS = re.compile(r"\w+|\n *|[^\w\n]")
PIECES = (
    """
    + - * / @ ** // % ( ) [ ] , : = == < <= and or not if else elif for in def return assert input param state
    output recurrence 0 1 2 0.5 -1 1e30 1j inf pi t x y h S K V D n j i k[j] S[0] .T exp( log( sqrt( tanh(
    abs( real( conj( 
    max( min( sum( mean( norm( softmax( layernorm( l2norm( where( outer( prev( hold( grad( clamp( roll( conv(
    solve( arange(
    eye(     axis=K axis=D axis=j every=2 init=1 complex in(0,1] <=0 = += *= \n \n\x20\x20\x20\x20 # \x20
""".split()
    + [
        "\n",
        "\n    ",
        "\n        ",
        " ",
        '"""',
        "\t",
        "\N{MINUS SIGN}",
        "\0",
        "prev(x, 3)",
        "hold(x, every=4)",
        "grad(sumsq(h), h)",
    ]
)

FUNCTIONS = "exp log sqrt tanh abs real max sum mean norm softmax l2norm prev silu gelu -  imag conj ctz".split()


@cache
def sources() -> tuple[list[str], list[str]]:
    """The texts that are damaged: shipped specs, and bad ones."""
    specs = [path.read_text(encoding="utf-8") for path in sorted(ROOT.joinpath("specs").glob("*.rec"))]
    bad = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.rec"))]
    return specs, [text.split("\n# recc ")[0] + "\n" for text in bad]


def damaged(seed: int) -> str:
    """A text with a few random changes of tokens or characters."""
    rng = random.Random(seed)
    whole, parts = sources()
    text = rng.choice(whole if rng.random() < 0.7 else parts)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        text = _exchanged(text, rng) if rng.random() < 0.5 else _damaged(text, rng)
    return text


def _exchanged(text: str, rng: random.Random) -> str:
    """The text with a word in place of another word, or a sign in place of another sign: often still a spec."""
    tokens = TOKENS.findall(text)
    kinds = [[i for i, token in enumerate(tokens) if test(token)] for test in (str.isidentifier, _is_sign)]
    places = rng.choice([kind for kind in kinds if kind] or [[0]])
    place, other = rng.choice(places), rng.choice(places)
    pool = [piece for piece in PIECES if piece[-1:] != "(" and piece.isidentifier() == tokens[place].isidentifier()]
    tokens[place] = tokens[other] if rng.random() < 0.7 else rng.choice(pool)
    if rng.random() < 0.2:
        tokens[place] = f"{rng.choice(FUNCTIONS)}({tokens[place]})"
    return "".join(tokens)


def _is_sign(token: str) -> bool:
    return not token.isidentifier() and not token.isspace()


def _damaged(text: str, rng: random.Random) -> str:
    parts = TOKENS.findall(text) if rng.random() < 0.8 else list(text)
    place = rng.randrange(len(parts) + 1)
    match rng.choice("delete insert replace copy swap line".split()):
        case "delete":
            del parts[place : place + rng.randint(1, 3)]
        case "insert":
            parts.insert(place, rng.choice(PIECES))
        case "replace":
            parts[place : place + 1] = [rng.choice(PIECES)]
        case "copy":
            start = rng.randrange(len(parts) + 1)
            parts[place:place] = parts[start : start + rng.randint(1, 6)]
        case "swap":
            other = rng.randrange(len(parts) + 1)
            parts[place : place + 1], parts[other : other + 1] = parts[other : other + 1], parts[place : place + 1]
        case "line":
            lines = text.splitlines(keepends=True)
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
            return "".join(lines)
    return "".join(parts)


def survives(seed: int) -> bool:
    """Whether a damaged text is still a spec; anything but a module or a finding is raised as it is."""
    text = damaged(seed)
    try:
        module = emit(text)
    except SpecError as error:
        assert error.diagnostics and all(finding.message for finding in error.diagnostics)
        assert "error[" in str(error)
        return False
    compile(module, "emitted", "exec")
    return True


@pytest.mark.parametrize("start", range(0, 600, 100))
def test_damaged_specs(start: int) -> None:
    survived = sum(survives(seed) for seed in range(start, start + 100))
    assert 0 < survived < 100


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1_000, 21_000, 1_000))
def test_many_damaged_specs(start: int) -> None:
    for seed in range(start, start + 1_000):
        survives(seed)
