"""The primitives of the language: one row each, with their meaning in NumPy and what the documentation says.

`UNARY`, `BINARY` and `REDUCTIONS` are IR operations; `COMPOSED` names are expanded by the front end into these."""

from __future__ import annotations

UNARY: dict[str, str] = {
    "neg": "-x",
    "exp": "exponential; complex too",
    "log": "natural logarithm",
    "log1p": "log(1 + x), accurate near zero",
    "expm1": "exp(x) - 1, accurate near zero",
    "sqrt": "square root",
    "sin": "sine",
    "cos": "cosine",
    "tan": "tangent",
    "tanh": "hyperbolic tangent",
    "sinh": "hyperbolic sine",
    "cosh": "hyperbolic cosine",
    "atan": "inverse tangent",
    "erf": "error function",
    "sigmoid": "1 / (1 + exp(-x))",
    "logsigmoid": "log(sigmoid(x)), never overflows",
    "softplus": "log(1 + exp(x)), never overflows",
    "relu": "max(x, 0), derivative zero at zero",
    "abs": "absolute value, of a complex value too; derivative zero at zero",
    "sign": "-1, 0 or 1; derivative zero",
    "floor": "largest integer below; derivative zero",
    "ceil": "smallest integer above; derivative zero",
    "round": "nearest integer, ties to even; derivative zero",
    "ctz": "count of trailing zero bits of a whole number (of 0: 0); derivative zero",
    "real": "real part",
    "imag": "imaginary part",
    "conj": "complex conjugate",
    "not": "logical negation",
}

# Which unary operations are defined for complex values.
COMPLEX_UNARY = frozenset({"neg", "exp", "real", "imag", "conj", "abs", "sqrt", "sin", "cos", "tanh"})

# Derivative zero everywhere it exists: constant in pieces.
PIECEWISE_CONSTANT = frozenset({"sign", "floor", "ceil", "round", "ctz", "not"})

BINARY: dict[str, str] = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "pow": "**",
    "mod": "%",
    "floordiv": "//",
    "max": "larger of two",
    "min": "smaller of two",
    "logaddexp": "log(exp(x) + exp(y)); of two -inf it is -inf",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "and": "both",
    "or": "either",
}

REDUCTIONS: dict[str, str] = {
    "sum": "sum",
    "max": "largest; of an empty axis -inf",
    "min": "smallest; of an empty axis inf",
    "logsumexp": "log(sum(exp(x))); of nothing but -inf it is -inf",
    "any": "whether any is true",
}

COMPOSED: dict[str, str] = {
    "mean": "sum divided by the number",
    "norm": "square root of the sum of squares; derivative zero at zero",
    "sumsq": "sum of squares, of absolute values if complex",
    "softmax": "exp(x - logsumexp(x)) along one axis",
    "layernorm": "(x - mean) / sqrt(variance + eps) along one axis, eps = 1e-5",
    "rmsnorm": "x / sqrt(mean(x**2) + eps) along one axis, eps = 1e-6",
    "l2norm": "x / max(norm(x), eps) along one axis, eps = 1e-12",
    "silu": "x * sigmoid(x)",
    "elu": "x where positive, else exp(x) - 1",
    "gelu": "x * (1 + erf(x / sqrt(2))) / 2",
    "gelu_tanh": "the tanh form of gelu",
    "clamp": "clamp(x, low, high)",
    "outer": "product of the last axes of two values; other axes are matched by name",
    "where": "where(condition, x, y); the side not taken contributes nothing, to the value or any gradient",
    "arange": "0, 1, ... along an axis: arange(L)",
    "eye": "identity matrix: eye(K)",
    "conv": "conv(h, W, axis=X) with W[out, in, tap]; zero borders, or wrap=True",
    "roll": "roll(h, n, axis=X): every element n places further, around the end",
    "solve": "solve(A, b): the y with A @ y = b",
    "grad": "grad(loss, X): derivative of a scalar with respect to a name's present value",
    "prev": "prev(x), prev(x, n), prev(x, n, init=v): what x held at the end of the previous (n-th previous) step",
    "hold": "hold(x, every=b): x on entry to the latest step with t % b == 0",
}

# Names that functions of the language have beside the operators' own.
UNARY_FUNCTIONS = frozenset(UNARY) - {"neg", "not"}
EXTREMA = frozenset({"max", "min", "logaddexp"})
REDUCTION_FUNCTIONS = frozenset({"sum", "mean", "max", "min", "norm", "sumsq", "logsumexp"})
NORMALISATIONS = frozenset({"softmax", "layernorm", "rmsnorm", "l2norm"})
FUNCTIONS = UNARY_FUNCTIONS | {"logaddexp"} | REDUCTION_FUNCTIONS | frozenset(COMPOSED)
NAMED_VALUES = {"pi": 3.141592653589793, "inf": float("inf")}
