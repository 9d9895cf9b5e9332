"""Numbers in a small table (结果表)."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a title and aligned columns; the first column is words, the others numbers."""
    texts = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(header))]
    print(f"\n{title}")
    for row in texts:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        print("  " + "  ".join((first, *rest)), flush=True)


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie; 0.0 for none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]
