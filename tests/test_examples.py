"""The examples run from a fresh directory, and reach what they claim, with fewer steps than they take by default."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script: str, *options: str, folder: Path) -> str:
    """What an example prints."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths, "COLUMNS": "120", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / script), *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(table: str) -> dict[str, list[float]]:
    """The numbers of a printed table, by the first word of each row."""
    lines = [re.findall(r"[\w.%]+", line) for line in table.splitlines() if line.startswith("│")]
    return {words[0]: [float(word[:-1]) for word in words[1:] if word.endswith("%")] for words in lines}


@pytest.mark.slow
def test_state_tracking_reaches_lengths_it_has_not_seen(tmp_path: Path) -> None:
    printed = run("state_tracking.py", "--steps", "300", "--output", "results", folder=tmp_path)
    accuracy = rows(printed)
    for length in ("16", "32", "64", "128"):
        reflecting, positive = accuracy[length]
        assert reflecting > 95 and positive < 40, printed
    assert (tmp_path / "results" / "state_tracking.png").read_bytes().startswith(b"\x89PNG")
    assert "deltaproduct.rec" in (tmp_path / "results" / "deltaproduct_s3.py").read_text()


@pytest.mark.slow
def test_digits(tmp_path: Path) -> None:
    printed = run("digits.py", "--epochs", "8", folder=tmp_path)
    scores = rows(printed)
    assert scores.keys() == {"GatedLinearAttention", "LinearRecurrentUnit", "GatedRecurrentUnit"}
    assert all(unseen > 90 for _, unseen in scores.values()), printed
