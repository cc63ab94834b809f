"""The command line, run as users run it: in a process of its own, judged by exit code, streams and files."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from recc import __version__

ROOT = Path(__file__).parent.parent
GOOD = '''\
recurrence leaky(scale=1):
    """A leaky integrator."""
    input  x[D], a in (0, 1)
    state  h[D]
    h = a * h + scale * x
    output h
'''
BAD = GOOD.replace("scale * x", "scale * y")


def recc(*args: str | Path, cwd: Path = ROOT, stdin: str | bytes = "", **env: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line; what it prints is decoded, and no run may show a traceback."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    run = subprocess.run(
        [sys.executable, "-m", "recc", *map(str, args)],
        cwd=cwd,
        input=data,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **env},
        timeout=120,
    )
    stdout, stderr = run.stdout.decode(), run.stderr.decode()
    assert "Traceback" not in stderr
    return subprocess.CompletedProcess(run.args, run.returncode, stdout, stderr)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "leaky.rec"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.rec"
    path.write_text(BAD)
    return path


def test_version_and_help() -> None:
    assert recc("--version").stdout == f"recc {__version__}\n"
    help_text = recc("--help").stdout
    for command in ("compile", "check", "explain", "verify", "new", "list"):
        assert command in help_text
        page = recc(command, "--help")
        assert page.returncode == 0 and (command == "list" or "Examples:" in page.stdout)


def test_compile_to_a_file_and_to_standard_output(good: Path, tmp_path: Path) -> None:
    target = tmp_path / "leaky.py"
    run = recc("compile", good, "-o", target)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert "def leaky" in target.read_text() or "leaky =" in target.read_text()
    printed = recc("compile", good).stdout
    assert recc("compile", good, "-o", "-").stdout.splitlines()[10:] == printed.splitlines()[10:]
    compile(printed, "printed", "exec")


def test_compile_is_deterministic(good: Path, tmp_path: Path) -> None:
    runs = [recc("compile", good, PYTHONHASHSEED=str(seed)).stdout for seed in range(2)]
    assert runs[0] == runs[1] != ""


def test_the_command_stands_in_the_file(good: Path) -> None:
    text = recc("compile", "leaky.rec", "--set", "scale=3", "--method", "scan", cwd=good.parent).stdout
    assert "recc compile leaky.rec --set scale=3 --method scan" in text


def test_compile_reads_standard_input_and_shipped_names() -> None:
    assert "leaky" in recc("compile", "-", stdin=GOOD).stdout
    assert "gla" in recc("compile", "gla").stdout
    bad = recc("compile", "-", stdin=BAD)
    assert bad.returncode == 1 and "`y`" in bad.stderr


def test_name_chooses_among_several(tmp_path: Path) -> None:
    path = tmp_path / "two.rec"
    path.write_text(GOOD + GOOD.replace("leaky", "second"))
    assert "second" in recc("compile", path, "--name", "second").stdout
    missing = recc("compile", path, "--name", "third")
    assert missing.returncode in (1, 2) and "third" in missing.stderr and missing.stdout == ""


@pytest.mark.parametrize("command", ["compile", "check", "explain", "verify"])
def test_a_bad_spec_is_1_with_the_finding_on_stderr(command: str, bad: Path) -> None:
    run = recc(command, bad)
    assert run.returncode == 1 and run.stdout == ""
    assert "error[" in run.stderr and "bad.rec:5" in run.stderr and "^" in run.stderr


def test_a_bad_command_line_is_2(good: Path, tmp_path: Path) -> None:
    locked = tmp_path / "folder.py"
    locked.mkdir()
    for args, message in [
        (["compile"], "Missing argument"),
        (["compile", good, "--bogus"], "No such option"),
        (["compile", good, "--method", "magic"], "magic"),
        (["compile", good, "--backend", "magic"], "magic"),
        (["compile", tmp_path / "none.rec"], "there is no spec file"),
        (["compile", tmp_path], "is a directory"),
        (["compile", "glaa"], "did you mean gla"),
        (["compile", "a\nb"], "line break"),
        (["compile", good, "--set", "scale"], "NAME=VALUE"),
        (["compile", good, "--set", "scale=abc"], "finite number"),
        (["compile", good, "--set", "scale=nan"], "finite number"),
        (["compile", good, "--set", "1s=2"], "NAME=VALUE"),
        (["compile", good, "--set", "scale=1", "--set", "scale=2"], "twice"),
        (["compile", good, "--set", "other=1"], "other"),
        (["compile", good, "-o", tmp_path / "no" / "file.py"], "does not exist"),
        (["compile", good, "-o", locked], "is a directory"),
        (["compile", good, "-o", good], "is the spec itself"),
        (["compile", good, "-o"], "requires an argument"),
        (["check"], "Missing argument"),
        (["check", good, "none.rec"], "there is no spec file"),
        (["explain", good, good], "unexpected extra argument"),
        (["explain", good, "--sizes", "T=9"], "is missing"),
        (["explain", good, "--sizes", "D=4"], "T is missing (T is the number of steps)"),
        (["explain", good, "--sizes", "T=9,D=0"], "D is 0, and has to be at least 1"),
        (["explain", good, "--sizes", "T=-9,D=1"], "T is -9, and has to be at least 1"),
        (["explain", good, "--sizes", "T=9,D=many"], "whole numbers, such as T=4096,K=64, not 'D=many'"),
        (["explain", good, "--sizes", "T=9,D=1.5"], "whole numbers"),
        (["explain", good, "--sizes", "T=9,D"], "whole numbers"),
        (["explain", good, "--sizes", ""], "whole numbers"),
        (["explain", good, "--sizes", "T=9,D=4,E=4"], "has no size E, only T, B, H, D"),
        (["explain", good, "--sizes", "T=9", "--sizes", "T=9,D=1"], "gives T twice"),
        (["explain", good, "--sizes", "T=9,D=4", "--threads", "0"], "threads"),
        (["verify"], "--all"),
        (["verify", good, "--all"], "--all"),
        (["new", "not-a-name"], "cannot be a recurrence's name"),
        (["new", "lambda"], "cannot be a recurrence's name"),
        (["new", "β"], "cannot be a recurrence's name"),
        (["compiel"], "No such command"),
        (["list", "extra"], "unexpected extra argument"),
    ]:
        run = recc(*args)
        assert run.returncode == 2, (args, run)
        assert message in " ".join(run.stderr.split()) and run.stdout == "", (args, run)


def test_a_failed_compile_leaves_the_target_as_it_was(bad: Path, tmp_path: Path) -> None:
    target = tmp_path / "kept.py"
    target.write_text("precious")
    before = target.stat()
    assert recc("compile", bad, "-o", target).returncode == 1
    assert target.read_text() == "precious" and target.stat().st_mtime_ns == before.st_mtime_ns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.rec", "kept.py"]


def test_replacing_keeps_permissions_and_links(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "real.py"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.py"
    link.symlink_to(target)
    assert recc("compile", good, "-o", link).returncode == 0
    assert link.is_symlink() and target.read_text() != "old"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert [path.name for path in folder.iterdir()] == ["real.py"]


def test_a_dangling_link_is_filled(good: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(tmp_path / "later.py")
    assert recc("compile", good, "-o", link).returncode == 0
    assert link.is_symlink() and (tmp_path / "later.py").stat().st_size > 0


def test_a_new_file_has_the_usual_permissions(good: Path, tmp_path: Path) -> None:
    assert recc("compile", good, "-o", tmp_path / "new.py").returncode == 0
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new.py").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_device_stays_a_device(good: Path, tmp_path: Path) -> None:
    assert recc("compile", good, "-o", "/dev/null").returncode == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE, text=True)
    assert recc("compile", good, "-o", pipe).returncode == 0
    assert "leaky" in reader.communicate(timeout=30)[0] and stat.S_ISFIFO(os.stat(pipe).st_mode)


def test_a_full_disk_is_2(good: Path) -> None:
    run = recc("compile", good, "-o", "/dev/full")
    assert run.returncode == 2 and "No space left" in run.stderr
    with open("/dev/full", "w") as full:
        args = [sys.executable, "-m", "recc", "list"]
        direct = subprocess.run(args, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert direct.returncode == 2 and direct.stderr.splitlines() == ["error: [Errno 28] No space left on device"]


def test_check_prints_a_line_for_each_good_recurrence(good: Path, bad: Path, tmp_path: Path) -> None:
    two = tmp_path / "two.rec"
    two.write_text(GOOD + GOOD.replace("leaky", "second"))
    run = recc("check", good, bad, two)
    assert run.returncode == 1 and run.stderr.count("error[") == 1
    names = [line.split()[:2] for line in run.stdout.splitlines()]
    assert names == [["ok", "leaky"], ["ok", "leaky"], ["ok", "second"]]
    assert recc("check", "-", stdin=GOOD).stdout.split()[:2] == ["ok", "leaky"]


def test_every_shipped_spec_checks() -> None:
    specs = sorted((ROOT / "specs").rglob("*.rec"))
    run = recc("check", *specs)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(run.stdout.splitlines()) == len(specs) >= 21


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"\x00" * 10, b"recurrence", b"\xef\xbb\xbf\n", b"(" * 100_000])
def test_garbage_is_a_finding(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbage.rec"
    path.write_bytes(data)
    for run in (recc("check", path), recc("check", "-", stdin=data)):
        assert run.returncode in (1, 2) and run.stderr.startswith("error") and run.stdout == ""


def test_explain_as_text_and_json(good: Path) -> None:
    assert "leaky" in recc("explain", good).stdout
    assert json.loads(recc("explain", good, "--json").stdout)


def test_explain_at_sizes(good: Path) -> None:
    """Between commas or spaces, at once or one by one, and in both forms."""
    texts = [
        recc("explain", good, *args).stdout
        for args in (
            ["--sizes", "T=50000,D=512,B=8"],
            ["--sizes", "B = 8  T=50000, D=512"],
            ["--sizes", "T=50000", "--sizes", "D=512", "--sizes", "B=8"],
        )
    ]
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].startswith("expected at T = 50000, B = 8, H = 1, D = 512, 1 thread, float32\n")
    assert len(re.findall(r"^  (sequential|scan) +(torch|cpu) ", texts[0], re.MULTILINE)) == 3
    assert re.search(r"^auto: sequential on cpu$", texts[0], re.MULTILINE)
    run = recc("explain", good, "--sizes", "T=50000,D=512,B=8", "--json", "--threads", "2")
    found = json.loads(run.stdout)["expected"]
    assert found["sizes"] == {"T": 50000, "B": 8, "H": 1, "D": 512} and found["threads"] == 2
    ways = {(way["method"], way["backend"]): way for way in found["ways"]}
    assert all(0 < way["forward"] < way["training"] and way["traffic"] > way["state"] > 0 for way in ways.values())
    for part in ("forward", "training"):
        assert (found["auto"][part]["method"], found["auto"][part]["backend"]) in ways
    assert "expected" not in json.loads(recc("explain", good, "--json").stdout)


def test_verify_prints_a_table(good: Path) -> None:
    run = recc("verify", good)
    assert run.returncode == 0
    for word in ("leaky", "sequential", "scan", "float64", "float32", "pass"):
        assert word in run.stdout


def test_several_specs_are_verified_side_by_side_and_shown_in_order(good: Path, bad: Path, tmp_path: Path) -> None:
    """What is wrong with one is said, and the others are verified all the same."""
    second = tmp_path / "second.rec"
    second.write_text(GOOD.replace("leaky", "second"))
    run = recc("verify", second, bad, good)
    assert run.returncode == 1 and "bad.rec:5" in run.stderr
    shown = [line.split()[0] for line in run.stdout.splitlines() if line.endswith("pass") or " pass " in line]
    assert list(dict.fromkeys(shown)) == ["second", "leaky"] and len(shown) == 2 * shown.count("leaky")


def test_new_writes_a_spec_that_compiles(tmp_path: Path) -> None:
    run = recc("new", "my_memory", cwd=tmp_path)
    assert run.returncode == 0 and "recc check my_memory.rec" in run.stdout
    assert recc("check", "my_memory.rec", cwd=tmp_path).stdout.split()[:2] == ["ok", "my_memory"]
    assert recc("compile", "my_memory.rec", cwd=tmp_path).returncode == 0


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.rec"
    path.write_text("precious")
    (tmp_path / "gone.rec").symlink_to(tmp_path / "nowhere.rec")
    for name in ("mine", "gone"):
        run = recc("new", name, cwd=tmp_path)
        assert run.returncode == 2 and "exists already" in run.stderr
    assert path.read_text() == "precious" and not (tmp_path / "nowhere.rec").exists()
    assert recc("new", "mine", "-o", "other.rec", cwd=tmp_path).returncode == 0
    assert "recurrence mine:" in (tmp_path / "other.rec").read_text()


def test_list_has_every_shipped_spec() -> None:
    text = recc("list").stdout
    for path in (ROOT / "specs").rglob("*.rec"):
        assert path.stem in text


def test_a_terminal_without_the_characters_gets_escapes(tmp_path: Path) -> None:
    path = tmp_path / "bad.rec"
    path.write_text(GOOD.replace("x[D]", "ξ[D]"))
    run = recc("check", path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert run.returncode == 1 and "\\u03be" in run.stderr


def test_a_reader_that_leaves_is_no_news(good: Path) -> None:
    command = f"{sys.executable} -m recc compile {good} | head -c 1"
    run = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert run.stderr == ""


def test_an_interrupt_is_130_and_quiet() -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "recc", "check", "-"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    time.sleep(2)  # it waits for standard input by then
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=30)
    assert (run.returncode, stdout, stderr) == (130, "", "")


def test_reading_commands_import_no_torch(good: Path) -> None:
    code = "import sys; from recc.cli import main\ntry: main({!r})\nfinally: print('torch' in sys.modules)"
    for args in (["check", str(good)], ["explain", str(good)], ["compile", str(good), "-o", os.devnull], ["list"]):
        run = subprocess.run([sys.executable, "-c", code.format(args)], cwd=ROOT, capture_output=True, text=True)
        assert run.stdout.splitlines()[-1] == "False" and run.returncode == 0, (args, run)
