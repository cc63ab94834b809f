"""Reading `.rec` text: trees, places, and texts of every odd kind."""

import random
import re
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recc.diagnostics import SpecError
from recc.frontend import syntax as s
from recc.frontend.parse import parse_file, parse_text

SPECS = [
    '''recurrence gated_deltanet:
    """Gated delta rule."""
    input  q[K], k[K], v[V]               # per step
    input  g <= 0, beta in (0, 1]
    state  S[K, V]
    assert norm(k) == 1

    S = exp(g) * S
    S = S + beta * outer(k, v - k @ S)
    output o[V] = q @ S
''',
    """recurrence deltaproduct(n=2):
    input  q[K], k[n, K], v[n, V], beta[n], g
    state  S[K, V]
    S = exp(g) * S
    for j in n:
        S = S - beta[j] * outer(k[j], k[j] @ S - v[j])
    output o[V] = q @ S
""",
    """recurrence hmm_forward:
    input  e[N]
    param  log_A[N, N], log_pi[N]
    state  a[N] = log_pi
    a[j] = logsumexp(a[i] + log_A[i, j], axis=i) + e[j]
    output alpha = a, loglik = logsumexp(a)
""",
    """recurrence loglinear_mamba2(L=5):
    input  q[K], k[K], v[V], g <= 0, lam[L]
    state  S[L, K, V]
    if t > 0:
        top = min(ctz(t) + 1, L - 1)
        S[l] = where(l == top, sum(where(j <= top, S[j], 0), axis=j), where(l < top, 0, S[l]))
    S = exp(g) * S
    S[0] += outer(k, v)
    output o[V] = lam @ (q @ S)
""",
    """recurrence fprnn(n=2):
    input  x[D], lam[D] in (0, 1), u[n, D], beta[n] in (0, 1)
    state  h[D]
    def mix(r):
        for j in n: r = r - beta[j] * u[j] * (u[j] @ r)
        return r
    for y in fixpoint(h, tol=1e-6, max=50):
        y = lam * h + (1 - lam) * (mix(x - y) + y)
    h = y
    output h
""",
    """recurrence plstm_2d over i, j:
    input  q[K], k[K], v[V], s_r, t_rr, t_dr
    state  R[K, V] along j, D[K, V] along i
    output o[V] = q @ R + q @ D
    R, D = t_rr * R + t_dr * D + s_r * outer(k, v),  t_rr * R
""",
    """recurrence plstm_dag over graph:
    input  q[K], source on edge, transition on edge -> edge
    state  C[K, V] on edge
    output o[V] = sum(q @ C, axis=incoming)
    C = sum(transition * C, axis=incoming) + source
""",
    """from delta.rules import erase, write
def f(x, W[D, D]): return x @ W, x
recurrence s5:
    param  Lambda[N]: complex
    state  h[N]: complex = 1j * zero
    h, _ = f(h, Lambda)
    if not a and b or c: y = 1
    elif a != b: y = 2
    else: y = 3
    output h
""",
]


def body(*lines: str, head: str = "recurrence r:") -> tuple:
    text = "\n".join([head, *("    " + line for line in lines)])
    return parse_text(text).recurrences[0].body


def expression(text: str) -> s.Expr:
    (node,) = body(f"y = {text}")
    assert isinstance(node, s.Assign) and len(node.values) == 1
    return node.values[0]


def name(text: str) -> s.Name:
    return s.Name(text)


# --- trees ---


def test_a_whole_recurrence() -> None:
    (found,) = parse_text(SPECS[0]).recurrences
    assert (found.name, found.doc, found.over, found.constants) == ("gated_deltanet", "Gated delta rule.", (), ())
    q, k, v, g, beta, state, promise, *equations, output = found.body
    assert (q, k, v) == tuple(s.Declare("input", each, (size,)) for each, size in zip("qkv", "KKV", strict=True))
    assert g == s.Declare("input", "g", bounds=s.Bound("<=", s.Number(0)))
    assert beta == s.Declare("input", "beta", bounds=s.Interval(s.Number(0), s.Number(1), True, False))
    assert state == s.Declare("state", "S", ("K", "V"))
    assert promise == s.Assert(s.Compare("==", s.Call(name("norm"), (name("k"),)), s.Number(1)))
    update = s.Binary("*", s.Call(name("exp"), (name("g"),)), name("S"))
    assert equations[0] == s.Assign((s.Target("S"),), (update,))
    assert output == s.Declare("output", "o", ("V",), value=s.Binary("@", name("q"), name("S")))


def test_a_whole_file() -> None:
    found = parse_text(SPECS[7])
    assert found.imports == (s.Import(name("delta.rules"), (name("erase"), name("write"))),)
    value = s.Binary("@", name("x"), name("W"))
    assert found.defs == (s.Def("f", (s.Arg("x"), s.Arg("W", ("D", "D"))), (s.Return((value, name("x"))),)),)
    choice = found.recurrences[0].body[3]
    assert isinstance(choice, s.If)
    test = s.Binary("or", s.Binary("and", s.Unary("not", name("a")), name("b")), name("c"))
    assert [condition for condition, _ in choice.branches] == [test, s.Compare("!=", name("a"), name("b"))]
    assert choice.orelse == (s.Assign((s.Target("y"),), (s.Number(3),)),)


@pytest.mark.parametrize(
    ("written", "declared"),
    [
        ("state m = -inf", s.Declare("state", "m", value=s.Unary("-", name("inf")))),
        ("param W[D, 3]", s.Declare("param", "W", ("D", 3))),
        ("input x: complex", s.Declare("input", "x", type_name="complex")),
        ("input x[K] > 0", s.Declare("input", "x", ("K",), bounds=s.Bound(">", s.Number(0)))),
        (
            "input x in [-1, 2 * n)",
            s.Declare(
                "input",
                "x",
                bounds=s.Interval(s.Unary("-", s.Number(1)), s.Binary("*", s.Number(2), name("n")), False, True),
            ),
        ),
        ("state S[K] along j", s.Declare("state", "S", ("K",), place=s.Place("along", "j"))),
        ("state S on edge", s.Declare("state", "S", place=s.Place("on", "edge"))),
        ("input S on a -> b", s.Declare("input", "S", place=s.Place("on", "a", "b"))),
        (
            "state S[K]: complex >= 0 along j = x",
            s.Declare("state", "S", ("K",), "complex", s.Bound(">=", s.Number(0)), s.Place("along", "j"), name("x")),
        ),
        ("output h", s.Declare("output", "h")),
        ("output y[D,]", s.Declare("output", "y", ("D",))),
    ],
)
def test_declarations(written: str, declared: s.Declare) -> None:
    assert body(written) == (declared,)
    assert declared.complex == ("complex" in written)


@pytest.mark.parametrize(
    ("written", "brackets"),
    [
        ("a + b * c", "a + (b * c)"),
        ("a - b - c", "(a - b) - c"),
        ("r * h @ U", "(r * h) @ U"),
        ("a @ b / c // d % e", "(((a @ b) / c) // d) % e"),
        ("-x ** 2", "-(x ** 2)"),
        ("x ** -y ** 2", "x ** (-(y ** 2))"),
        ("-x * y", "(-x) * y"),
        ("not a == b", "not (a == b)"),
        ("a or b and not c", "a or (b and (not c))"),
        ("a + b < c * d", "(a + b) < (c * d)"),
        ("a < b and c < d", "(a < b) and (c < d)"),
        ("x.T[0] ** 2", "((x.T)[0]) ** 2"),
        ("f(x)[i, j].T", "((f(x))[i, j]).T"),
        ("f(x,)", "f(x)"),
    ],
)
def test_precedence(written: str, brackets: str) -> None:
    assert expression(written) == expression(brackets)


def test_brackets_are_remembered() -> None:
    for text, expected in (("(r * h) @ U", True), ("r * h @ U", False), ("((r * h)) @ U", True)):
        node = expression(text)
        assert isinstance(node, s.Binary) and isinstance(node.left, s.Binary)
        assert (node.left.bracketed, node.bracketed) == (expected, False)


def test_tuples() -> None:
    assert expression("f(x, axis=(j, d))") == s.Call(
        name("f"), (name("x"),), ((name("axis"), s.Group((name("j"), name("d")))),)
    )
    assert body("a, b = (x, y)") == body("a, b = x, y")
    assert body("a, b[i] = x, y") == (s.Assign((s.Target("a"), s.Target("b", (name("i"),))), (name("x"), name("y"))),)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("12", 12), ("1.", 1.0), (".5", 0.5), ("1e-6", 1e-6), ("2.5E+3", 2500.0), ("1j", 1j), (".5e1j", 5j)],
)
def test_numbers(text: str, value: complex) -> None:
    node = expression(text)
    assert isinstance(node, s.Number)
    assert (node.value, type(node.value), node.text) == (value, type(value), text)


def test_words_of_the_language_are_names_elsewhere() -> None:
    lines = (
        "input input, state, on, over, along, t, recurrence, complex, output[K], param",
        "input = input + state * recurrence(on)",
        "state[0] = output.T @ along",
        "define, inner, order, iffy, fortune, notion, T = over, param, complex, axis, on, along, android",
        "output output = on, mean = t",
    )
    declared = body(*lines)
    assert [node.name for node in declared[:10] if isinstance(node, s.Declare)][-2:] == ["output", "param"]
    assert isinstance(declared[11], s.Assign) and declared[11].targets[0].name == "state"
    assert declared[-1] == s.Declare("output", "mean", value=name("t"))


def test_constants_and_docstring() -> None:
    text = 'recurrence r(n=2, eps=-1e-3,) over i, j:\n    """One\n       two.\n\n         three\n    """\n    y = 1\n'
    (found,) = parse_text(text).recurrences
    assert found.constants == ((name("n"), s.Number(2)), (name("eps"), s.Unary("-", s.Number(0.001))))
    assert found.over == ("i", "j")
    assert found.doc == "One\ntwo.\n\n  three"


# --- places ---


def test_spans() -> None:
    declaration = "q[K, 3]: complex in (0, 1) = (a + b) * c"
    text = f"recurrence r(n=2):\n    input  {declaration}  # no\n    y = f(x, axis=j) @ (u * v)\n"
    declared, equation = parse_text(text).recurrences[0].body
    assert isinstance(declared, s.Declare) and isinstance(equation, s.Assign)
    assert declared.span.text == declaration
    assert (declared.name_span.text, declared.type_span.text) == ("q", "complex")
    assert [span.text for span in declared.dim_spans] == ["K", "3"]
    assert declared.bounds is not None and declared.bounds.span.text == "in (0, 1)"
    assert isinstance(declared.value, s.Binary) and declared.value.left.span.text == "a + b"
    (product,) = equation.values
    assert isinstance(product, s.Binary) and isinstance(product.left, s.Call)
    assert (product.span.text, product.op_span.text) == ("f(x, axis=j) @ (u * v)", "@")
    assert product.left.kwargs[0][0].span.text == "axis"
    assert (equation.span.line, equation.span.column) == (3, 5)
    recurrence = parse_text(text).recurrences[0]
    assert (recurrence.span.text, recurrence.name_span.text) == ("recurrence r", "r")


def test_blocks_have_the_span_of_their_header() -> None:
    loop, choice, helper = body("for j in n:", "    y = 1", "if a == b:", "    y = 1", "def f(x):", "    return x")
    assert [node.span.text for node in (loop, choice, helper)] == ["for j in n", "if a == b", "def f"]


# --- odd texts ---


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: "\ufeff" + text,
        lambda text: text.rstrip("\n"),
        lambda text: text + "      # a comment with  spaces",
        lambda text: "# before\n\n \t \n" + text + "\n \f \n\t\n# after",
        lambda text: text.replace("\n", "  # é \t \u2028 \x1b\n"),
        lambda text: text.replace("\n", "\n\n  # odd\n\t\n"),
        lambda text: text.replace(" = ", "\t=\t"),
    ],
)
@pytest.mark.parametrize("text", SPECS)
def test_the_same_tree(text: str, change) -> None:
    assert parse_text(change(text)) == parse_text(text)


def test_an_equation_on_several_lines() -> None:
    assert body("y = f(a,  # one", "  b", "", "\t+ c", ")[", "0]") == body("y = f(a, b + c)[0]")


def read(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(SpecError) as caught:
        parse_file(path)
    return str(caught.value).replace(str(path), "my.rec")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x7fELF\x00\x01", "the file is not text: it has a zero byte"),
        ("recurrence r:".encode("utf-16"), "the file is UTF-16"),
        (b"x = 1\n  \xe9\n", "byte 0xe9 is not UTF-8\n --> my.rec:2:3"),
        (b"#" * 4_000_001, "a file has at most 4,000,000 bytes"),
        (b"", "there is nothing in this file"),
    ],
)
def test_files_that_are_not_specs(data: bytes, said: str, tmp_path: Path) -> None:
    assert said in read(tmp_path / "my.rec", data)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "is a directory"), (tmp_path / "no.rec", "no such file"), ("a\0b", "null byte")):
        with pytest.raises(SpecError, match=f"the file cannot be read: .*{said}"):
            parse_file(path)


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "é x.rec"
    path.write_bytes(b"\xef\xbb\xbf" + SPECS[0].replace("\n", "\r\n").encode())
    assert parse_file(str(path)) == parse_text(SPECS[0])
    assert parse_file(path).recurrences[0].span.source.path == str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y = " + "(" * 100_000, "brackets are nested more than 50 deep"),
        ("y = " + "-" * 5000 + "x", "this expression is nested too deeply"),
        ("y = " + "not " * 2000 + "x", "this expression is nested too deeply"),
        ("y = " + "x ** " * 1000 + "x", "this expression is nested too deeply"),
        ("y = x" + ".T" * 1000, "this expression is nested too deeply"),
        ("y = x" + " + x" * 1000, "this expression is nested too deeply"),
        ("y = " + "x + " * 250_000 + "x", "this line has 500,003 characters of code; 10,000 is the most"),
        ("y = " + "x" * 1_000_000, "this line has 1,000,002 characters of code; 10,000 is the most"),
        ("\n    ".join(["y = x"] * 10_001), "a file has at most 10000 equations"),
        ("y = " + "β" * 1_000_000, "a name with other than ASCII letters"),
        ("y = " + "β " * 100_000, "... and 99981 more findings, not shown"),
    ],
)
def test_too_much_of_something(text: str, said: str) -> None:
    start = time.perf_counter()
    with pytest.raises(SpecError, match=re.escape(said)):
        parse_text(f"recurrence r:\n    {text}\n")
    assert time.perf_counter() - start < 20


def test_what_is_just_not_too_much() -> None:
    assert body("y = " + "x + " * 95 + "x")
    assert body("y = " + "(" * 50 + "x" + ")" * 50) == body("y = x")
    assert body("y = x  # " + "c" * 1_000_000) == body("y = x")
    doc = '"""' + "d" * 1_000_000 + '"""'
    assert len(parse_text(f"recurrence r:\n    {doc}\n    y = 1\n").recurrences[0].doc) == 1_000_000
    assert len(body(*["y = x"] * 2000)) == 2000


def test_threads_share_the_parser() -> None:
    expected = [parse_text(text) for text in SPECS]
    wrong = []

    def work(seed: int) -> None:
        for at in random.Random(seed).choices(range(len(SPECS)), k=20):
            if parse_text(SPECS[at]) != expected[at]:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- every expression, and every mistake ---

NAMES = st.sampled_from(["x", "S", "K", "axis", "on", "input", "r2", "_", "inf"]).map(s.Name)
NUMBERS = st.one_of(st.integers(0, 999), st.floats(0, 1e300), st.floats(0, 9).map(lambda x: complex(0, x))).map(
    s.Number
)


def composed(inner: st.SearchStrategy) -> st.SearchStrategy:
    some = st.lists(inner, min_size=1, max_size=3).map(tuple)
    keywords = st.lists(st.tuples(NAMES, inner), max_size=2).map(tuple)
    return st.one_of(
        st.builds(s.Binary, st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "**", "and", "or"]), inner, inner),
        st.builds(s.Compare, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner, inner),
        st.builds(s.Unary, st.sampled_from(["+", "-", "not"]), inner),
        st.builds(s.Call, NAMES, st.lists(inner, max_size=2).map(tuple), keywords),
        st.builds(s.Index, inner, some),
        st.builds(s.Transpose, inner),
        st.builds(s.Group, some),
    )


def written(node: s.Expr) -> str:
    """An expression as text, with all the brackets."""
    match node:
        case s.Name(id):
            return id
        case s.Number(value):
            return f"{value.imag!r}j" if isinstance(value, complex) else repr(value)
        case s.Binary(op, left, right) | s.Compare(op, left, right):
            return f"({written(left)}) {op} ({written(right)})"
        case s.Unary(op, operand):
            return f"{op} ({written(operand)})"
        case s.Call(func, args, kwargs):
            given = [*map(written, args), *(f"{key.id}={written(value)}" for key, value in kwargs)]
            return f"{func.id}({', '.join(given)})"
        case s.Index(base, items):
            return f"({written(base)})[{', '.join(map(written, items))}]"
        case s.Transpose(base):
            return f"({written(base)}).T"
        case s.Group(items):
            return f"({', '.join(map(written, items))},)"


@settings(max_examples=200, deadline=None)
@given(st.recursive(NAMES | NUMBERS, composed, max_leaves=12))
def test_every_expression_is_read_as_it_is_written(node: s.Expr) -> None:
    assert body(f"y[0] = f({written(node)})") == (
        s.Assign((s.Target("y", (s.Number(0),)),), (s.Call(name("f"), (node,)),)),
    )


PIECES = [
    "\t",
    "\n",
    "    ",
    *"()[]\"'#:,=.;{}\\βé漢²",
    '"""',
    "==",
    ".T",
    "in",
    "if",
    "for",
    "else:",
    "lambda",
    "\r",
    "\0",
]
PIECES += ["\ud800", "\x85", "\f", "1e", "0x", "**", "->", "input", "state ", "output ", "recurrence ", "from", "True"]


@pytest.mark.parametrize("seed", range(8))
def test_no_text_does_anything_but_parse_or_explain(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        text = rng.choice(SPECS)
        for _ in range(rng.randint(1, 6)):
            start = rng.randrange(len(text) + 1)
            text = text[:start] + rng.choice(PIECES) + text[start + rng.choice([0, 0, 1, 3, 20]) :]
        try:
            parse_text(text)
        except SpecError as error:
            assert all(0 <= d.span.start <= d.span.end <= len(d.span.source.text) for d in error.diagnostics)
            assert str(error).startswith("error[E1")
