"""Draws what `bench.pictures` says, from standard input; a program of its own, for what draws is not the product's.

``python plot.py TARGET.svg``; the same wish gives the same file, to the byte.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def curves(axes: Axes, wish: Mapping[str, Any]) -> None:
    """Draw points and lines, both axes in powers of ten."""
    for number, line in enumerate(wish["lines"]):
        color = f"C{number}"
        axes.plot(line["x"], line["line"], color=color, linewidth=1)
        axes.plot(line["x"], line["points"], "o", color=color, markersize=4, label=line["label"])
    axes.set(xscale="log", yscale="log", xlabel=wish["x"], ylabel=wish["y"])
    axes.grid(which="major", linewidth=0.3)
    axes.legend(fontsize="small", frameon=False)


def ratios(axes: Axes, wish: Mapping[str, Any]) -> None:
    """Draw each ratio with its spread, and where both would be as fast."""
    rows = wish["rows"][::-1]
    spread = [[row["ratio"] - row["low"] for row in rows], [row["high"] - row["ratio"] for row in rows]]
    axes.errorbar([row["ratio"] for row in rows], [row["label"] for row in rows], xerr=spread, fmt="o", capsize=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xlabel=wish["x"], xlim=(0, None))
    axes.tick_params(axis="y", labelsize="small")
    axes.grid(linewidth=0.3)


def main(target: str) -> None:
    """Draw what is wished for."""
    mpl.rcParams["svg.hashsalt"] = "market-pulse"
    wish = json.load(sys.stdin)
    figure = Figure(figsize=(10, 5), layout="constrained")
    {"curves": curves, "ratios": ratios}[wish["kind"]](figure.subplots(), wish)
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
