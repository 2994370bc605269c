"""The plots: the speed of each program at each kind of work, and the growth of costs."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from growth import CURVES, SIZES, title_at
from matplotlib import pyplot
from matplotlib.axes import Axes
from peers.programs import MINIMAL, OURS, PROGRAMS, RAW, REDIS_BENCHMARK
from results import Results, lines_of

__all__ = ["draw"]

# The same data give the same file; text stays text.
matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "txthoonk", "svg.fonttype": "none", "font.size": 8})
METADATA = {"Date": None}
ROW = 0.19  # inches

OWN = {"marker": "o", "color": "#c0392b", "s": 46, "zorder": 3}
LIMITS = {
    MINIMAL: {"marker": "|", "color": "black", "s": 90},
    REDIS_BENCHMARK: {"marker": "D", "color": "black", "s": 16},
    RAW: {"marker": "x", "color": "black", "s": 22},
}
MARKERS = ("^", "v", "s", "P", "<", ">", "*", "h", "d", "p", "X")


def draw(results: Results, folder: Path) -> None:
    """Draw both plots from the figures that exist."""
    rates(results, folder / "rates.svg")
    growth(results, folder / "growth.svg")


def rates(results: Results, path: Path) -> None:
    """Draw a line of points for each row, one for each program."""
    lines = [line for line in lines_of(results) if line.unit == "a second"]
    if not lines:
        return
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + ROW * len(lines)), layout="constrained")
    for program, style in styles().items():
        found = [(results.median(line.title, program), y) for y, line in enumerate(lines)]
        points = [point for point in found if point[0]]
        if points:
            axes.scatter(*zip(*points, strict=True), label=program, **style)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [line.title for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel("a second")
    axes.grid(axis="both", linewidth=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    save(figure, path)


def styles() -> dict[str, dict[str, object]]:
    """Return the marker of each program: peers in Python are blue, those in Node are green."""
    markers = iter(MARKERS)
    found: dict[str, dict[str, object]] = {}
    for program in PROGRAMS:
        colour = "#2471a3" if program.for_python else "#1e8449"
        peer = {"marker": "", "color": colour, "s": 22, "linewidths": 0}
        if program.name == OURS:
            found[OURS] = OWN
        elif program.name in LIMITS:
            found[program.name] = LIMITS[program.name]
        else:
            found[program.name] = peer | {"marker": next(markers)}
    return found


def growth(results: Results, path: Path) -> None:
    """Draw a small plot for each verb, with the cost of the bare structures."""
    curves = [curve for curve in CURVES if title_at(curve.title, SIZES[0]) in results.figures]
    if not curves:
        return
    figure, all_axes = pyplot.subplots(
        -(-len(curves) // 4), 4, figsize=(8, 8), sharex=True, sharey=True, layout="constrained"
    )
    for axes in all_axes.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in all_axes.flat[: len(curves)][-4:]:
        axes.tick_params(labelbottom=True)
    for curve, axes in zip(curves, all_axes.flat, strict=False):
        axes.set_title(curve.title, fontsize=8)
        plot(results, axes, curve.title, OURS, "o-", OWN["color"])
        plot(results, axes, curve.title, RAW, "x--", "black")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.minorticks_off()
        axes.grid(linewidth=0.3)
    figure.supxlabel("items in the feed")
    figure.supylabel("µs that Redis spends on a call")
    figure.legend(
        *all_axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=2
    )
    save(figure, path)


def plot(results: Results, axes: Axes, title: str, name: str, style: str, colour: object) -> None:
    found = [(size, results.median(title_at(title, size), name)) for size in SIZES]
    points = [point for point in found if point[1]]
    if points:
        axes.plot(*zip(*points, strict=True), style, color=str(colour), markersize=4, label=name)


def save(figure: object, path: Path) -> None:
    figure.savefig(path, metadata=METADATA)
    pyplot.close(figure)
