"""Names of a recurrence as identifiers of C that mean nothing else there."""

from __future__ import annotations

import re

# Keywords, macros of the headers that kernels include, and what kernels call their own.
RESERVED = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long "
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile "
    "while asm typeof bool true false complex imaginary NULL NAN INFINITY HUGE_VAL HUGE_VALF HUGE_VALL "
    "EXIT_SUCCESS EXIT_FAILURE RAND_MAX MB_CUR_MAX MATH_ERRNO MATH_ERREXCEPT errno linux unix real other "
    "bfloat16 float16 claim origin allocate wrapped scaled eliminate bits_of with_bits load_pair store_pair "
    "power_of_two forward backward step m row t n at shape stride strides data next width bounds begin count "
    "tile tiles first steps path lane reverse system right col memory states ROWS STEPS REVERSE TILE_STEPS "
    "LANE_COUNT LANE_RANK LANE_SIZES REAL TILE LANES TILE_LANES LOAD PLACE STORE REAL_BITS FOLD FOLD_HALF PLUS "
    "EITHER lanes whole_vector half_vector quarter_vector AHEAD FETCH signed_bits reduced_expm1 reduced_log1p "
    "FOLDED_ROWS FOLDED APART APART_OF PAIR TILE_PART folded_rows fold_row "
    "block rows BLOCK_ROWS count_blocks open_block multiply multiply_few multiply_rows multiply_turned rest_of sums_of "
    "multiply_few_turned register_vector VECTOR_LANES VECTOR_BYTES VECTOR_AT CONSTANT_VECTOR_AT SHUFFLE HALVED "
    "MULTIPLY_ROWS MULTIPLY_TURNED PAIR_1 PAIR_2 PAIR_4 PAIR_8 "
    "part parts team held meet open_part own_columns missing number own opened ticket tickets share team "
    "me block_row here scratch past replayed path_bytes round missed REAL_EPSILON eliminate_pairs divide_pair "
    "STRETCH STRETCH_BYTES STRETCH_LEAST widened "
    "FORWARD_AHEAD_STEPS FORWARD_AHEAD_ROWS REPLAY_AHEAD_STEPS REPLAY_AHEAD_ROWS "
    "BACKWARD_AHEAD_STEPS BACKWARD_AHEAD_ROWS BACKWARD_BEHIND_STEPS BACKWARD_BEHIND_ROWS FORWARD_BEHIND_STEPS "
    "FORWARD_BEHIND_ROWS turned copies turn copy TURNED_STEPS matrix matrices "
    "GROUP_LANES SAME_LANES NEXT_LANES APART_LANES IN_PLACE LOAD_LANES STORE_LANES MOVE_LANES by_sequence count_groups "
    "open_group view_of copy_lanes COPY_LANES ROW_OF ROW_IN ROW_OUT TURN turn_in turn_out turn_square square_row "
    "SQUARE fetch_lanes".split()
)
PATTERNS = re.compile(
    r"_|(real|fold|load|store|place|to|from|kept|power|at|i|SIZE|TYPE|LOG2|EXP|M|FP|INT|UINT|__)_|.*_(first|count)$"
)


class Names:
    """Gives every name its identifier, the same one each time; no two names get the same."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()

    def fix(self, name: str, code: str) -> None:
        """`name` is called `code`, which no other name is."""
        self._known[name] = code

    def __call__(self, name: str) -> str:
        if name not in self._known:
            stem = "".join(c if c.isascii() else f"u{ord(c):x}_" for c in name)
            own = stem.startswith("i_")
            code = f"{stem}_" if stem in RESERVED or PATTERNS.match(stem) and not own else stem
            while code in self._taken:
                code += "_"
            self._taken.add(code)
            self._known[name] = code
        return self._known[name]


class RowNames(Names):
    """Names as they are elsewhere, where the size `rows` is another one."""

    def __init__(self, names: Names, rows: str, code: str) -> None:
        super().__init__()
        self._names, self._rows, self._code = names, rows, code

    def __call__(self, name: str) -> str:
        return self._code if name == self._rows else self._names(name)
