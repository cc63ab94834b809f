"""Rows walked side by side, one in each lane of a vector, where a recurrence has no axis to make vectors of.

How many there are depends on shapes alone, and a library is built for each of a few numbers.
"""

WIDTHS = (4, 16, 64)


def group_lanes(rows: int, lanes: int, packed: bool) -> int:
    """How many rows are walked side by side: of sequences times lanes, or of the lanes alone of packed sequences, as
    these end after steps of their own. Lanes without a row take time, but hardly more than lanes of their own size."""
    count = lanes if packed else rows * lanes
    return next((width for width in WIDTHS if width >= count), WIDTHS[-1])
