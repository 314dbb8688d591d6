"""What the pictures of docs/performance.md show; pure."""

from collections.abc import Iterable, Sequence

from bench.cost import Batch, Cost
from bench.method import Rate


def curves(measured: Sequence[Batch], cost: Cost) -> dict[str, object]:
    """Return how long a batch takes as it grows: points as measured, lines as the cost says."""
    sizes = sorted({batch.bars for batch in measured})
    lines = [
        {
            "label": f"{cores} task{'s' * (cores > 1)} at a time, {partitions} partition{'s' * (partitions > 1)}",
            "x": sizes,
            "points": [each.seconds for each in measured if (each.cores, each.partitions) == (cores, partitions)],
            "line": [cost.seconds(cores, partitions, size) for size in sizes],
        }
        for cores, partitions in sorted({(batch.cores, batch.partitions) for batch in measured})
    ]
    return {"kind": "curves", "x": "bars of a batch", "y": "seconds", "lines": lines}


def ratios(rows: Iterable[Rate]) -> dict[str, object]:
    """Return how fast this product is against each of the others, load by load."""
    told = [
        {"label": f"{row.other}, {row.load}", "ratio": row.ratio, "low": row.low, "high": row.high}
        for row in sorted(rows, key=lambda row: (row.load != "fresh", row.load, row.ratio))
    ]
    return {"kind": "ratios", "x": "how many times as fast as the other market-pulse is", "rows": told}
