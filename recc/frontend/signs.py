"""Signs, letters and words that are not part of the language, and what to write in their place."""

from __future__ import annotations

import keyword
import re
import unicodedata

SIGN_HINTS = {
    "^": "a power is `x**2`",
    "&": "`and` joins conditions",
    "&&": "`and` joins conditions",
    "|": "`or` joins conditions",
    "||": "`or` joins conditions; `norm(x)` and `abs(x)` are functions",
    "!": "`not` negates a condition",
    "~": "`not` negates a condition",
    ";": "every equation has a line of its own",
    "\\": "an equation goes on in the next line while a bracket is open",
    "'": "a prime cannot be part of a name: write `S_new` for `S'`",
    "{": "sizes and places stand in `[...]`, everything else in `(...)`",
    "}": "sizes and places stand in `[...]`, everything else in `(...)`",
}
_SPELLED = {
    "‐‑‒–—−": "-",
    "×·⋅∗✕∘⊙": "*",
    "÷∕⁄": "/",
    "≤⩽": "<=",
    "≥⩾": ">=",
    "≠": "!=",
    "←≔": "=",
    "→": "->",
    "∞": "inf",
    "∈": "in",
    "⊗": "outer(k, v)",
    "√": "sqrt(x)",
    "∑": "sum(x, axis=K)",
    "∏": "exp(sum(log(x), axis=K))",
    "∇": "grad(loss, S)",
    "⊤ᵀ": ".T",
    "‘’′": "S_new",
    "“”„″": '"',
    "，、": ",",
    "：": ":",
    "（": "(",
    "）": ")",
    "［": "[",
    "］": "]",
    "＝": "=",
    "¬": "not",
    "∧": "and",
    "∨": "or",
}
SPELLED = {character: spelling for characters, spelling in _SPELLED.items() for character in characters}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")

OWN_WORDS = {"and", "assert", "def", "elif", "else", "for", "from", "if", "import", "in", "not", "or", "return"}
FOREIGN_WORDS = set(keyword.kwlist) - OWN_WORDS - {"True", "False"}

WORD_HINTS = {
    "while": "a loop runs a constant number of times: `for j in n:`",
    "lambda": "a helper is `def f(x): return ...`",
    "break": "`where` chooses between values, and `for` runs a constant number of times",
    "continue": "`where` chooses between values, and `for` runs a constant number of times",
    "raise": "`assert` states a promise",
    "is": "`==` compares",
    "pass": "leave the block out",
}
CALL_HINT = "assign its value to a name"
PRINT_HINT = "`output` says what comes out of a recurrence"
CHOICE_HINT = "`where(condition, a, b)` chooses between values"
SLICE_HINT = "an index is a constant, a loop counter, or a new name for the axis"
ATTRIBUTE_HINT = "only `.T` may follow a value; functions are called as `mean(x)`"
CHAIN_HINT = "join two of them: `a < b and b < c`"


def spell_name(word: str) -> str:
    """The ASCII name that someone would write for a name in other letters, or an empty string: `β1` is `beta1`."""
    spelled = ""
    for character in unicodedata.normalize("NFKC", word):
        name = unicodedata.name(character, "").split()
        if character.isascii():
            spelled += character
        elif name[:1] == ["GREEK"] and len(name) >= 4 and name[2] == "LETTER":
            spelled += name[3].lower() if name[1] == "SMALL" else name[3].capitalize()
        elif base := unicodedata.normalize("NFKD", character)[0]:
            spelled += base if base.isascii() else ""
    return spelled if re.fullmatch(r"[A-Za-z_]\w*", spelled, re.ASCII) else ""


def foreign_name(word: str) -> tuple[str, str]:
    """Message and hint for a word that has other than ASCII letters."""
    if len(word) > 60:
        return "a name with other than ASCII letters, digits and `_` stands here", ""
    spelling = SPELLED.get(word[-1]) or SPELLED.get(word[0])
    base, power = re.fullmatch(r"(.*?)([⁰¹²³⁴⁵⁶⁷⁸⁹]*)", word).groups()  # type: ignore[union-attr]
    if base.isascii() and power:
        return f"`{word}` is not a name", f"a power is `{base}**{power.translate(_SUPERSCRIPTS)}`"
    if spelling and (len(word) == 1 or word[:-1].isascii()):
        before = word[:-1] if spelling.startswith(".") else ""
        return f"`{word[-1] if before else word}` is not part of the language", f"write `{before}{spelling}`"
    name = spell_name(word)
    return f"`{word}` is not a name: names have ASCII letters, digits and `_`", f"write `{name}`" if name else ""
