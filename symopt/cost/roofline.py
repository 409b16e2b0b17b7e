"""A roofline: what each launch of a profile computes a second, below what memory and arithmetic allow."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import DependencyError, GraphError
from ..files import write_whole
from ..view.plain import safe
from .bandwidth import Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .profile import Profile

MOST_NAMED = 12  # launches with a name
LEAST_SHARE = 0.005  # of the time of all launches: what took less would only stretch the picture
# Seen on white and on black: greys in the middle, colours neither light nor dark.
ROOFS = {"add": "additions", "div": "divisions"}
INK, FAINT, MEMORY, ARITHMETIC, POINT = "#808080", "#80808040", "#2a8fbd", "#c7682c", "#8a63c4"


class Achieved(NamedTuple):
    """A point: operations for each byte, operations a second, part of the time of all launches."""

    name: str
    intensity: float
    rate: float
    share: float


def roofline(profile: Profile, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw a profile; see Profile.roofline."""
    figure = _new_figure()
    calibration, points = profile.calibration, achieved(profile)
    if calibration is None:
        raise GraphError(
            "a roofline needs the limits of this machine: run symopt calibrate, then profile again"
        )
    if not points:
        raise GraphError(
            "a roofline needs launches that moved bytes and computed: run steps inside the profile"
        )
    shown = [point for point in points if point.share >= LEAST_SHARE]
    axes = figure.add_subplot()
    _draw_axes(axes, profile.title, len(points) - len(shown))
    roofs = _draw_roofs(axes, calibration, shown)
    _draw_points(figure, axes, shown, roofs)
    if path is not None:
        _write(figure, path)
    return figure


def achieved(profile: Profile) -> list[Achieved]:
    """The points of a profile, those that took longest first."""
    if profile.cost is None:
        return []
    found = []
    for times, launch in zip(profile.launches, profile.cost.launches, strict=True):
        if times.count and times.median > 0 and times.bytes and launch.arithmetic:
            rate = launch.intensity * times.bytes / times.median
            found.append(Achieved(f"{times.number} {launch.name}", launch.intensity, rate, times.share))
    return sorted(found, key=lambda point: -point.share)


def limits(calibration: Calibration) -> dict[str, float]:
    """What is drawn as roofs: bytes a second from memory and from the nearest cache, additions and divisions a second,
    with all threads."""
    speed = calibration.speed(max(calibration.speeds))
    found = {"memory": calibration.fastest}
    nearest = min((part for _, part in speed.levels), default=1.0)
    if 0 < nearest < 0.8:
        found["cache"] = calibration.fastest / nearest
    for op in ("add", "div"):
        each = calibration.operations.get((op, "float32"), 0.0)
        if each > 0:
            found[op] = speed.gain / each
    return found


# ---- drawing


def _new_figure() -> Figure:
    """A figure that belongs to nobody's pyplot."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DependencyError('drawing a roofline needs matplotlib: pip install "symopt[viz]"') from error
    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    figure.patch.set_alpha(0)
    FigureCanvasAgg(figure)
    return figure


def _draw_axes(axes: Any, title: str, left_out: int) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.patch.set_alpha(0)
    axes.set_xlabel("operations for each byte moved", color=INK)
    axes.set_ylabel("operations a second", color=INK)
    note = "areas are shares of the time"
    if left_out:
        note += f"; not drawn: {left_out} of less than {LEAST_SHARE:.1%}"
    axes.set_title(f"{_plain(title)}\n{note}", color=INK, loc="left", fontsize=9)
    axes.grid(True, which="major", color=FAINT, linewidth=0.6)
    axes.tick_params(which="both", colors=INK, labelcolor=INK, length=0)
    for axis, text in ((axes.yaxis, _rate), (axes.xaxis, "{:g}".format)):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=30))
        axis.set_major_formatter(lambda x, _, text=text: text(x))
        axis.set_minor_formatter(NullFormatter())
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_roofs(axes: Any, calibration: Calibration, points: Sequence[Achieved]) -> list[Any]:
    """Lines of what memory and arithmetic allow, with their texts; the boxes in pixels that these take."""
    roofs = limits(calibration)
    memory = roofs["memory"]
    tops = {op: roofs[op] for op in ROOFS if op in roofs}
    highest = max(tops.values(), default=max(p.intensity for p in points) * memory)
    low = min(min(p.intensity for p in points) / 4, highest / memory / 30)
    high = max(max(p.intensity for p in points) * 3, highest / memory * 10)
    axes.set_xlim(low, high)
    axes.set_ylim(min(min(p.rate for p in points) / 3, low * memory), highest * 3)
    slope, boxes = _slope(axes), []
    for name, style in (("memory", "-"), ("cache", (0, (4, 3)))):
        if name in roofs:
            knee = highest / roofs[name]
            axes.plot([low, knee], [low * roofs[name], highest], color=MEMORY, linewidth=2, linestyle=style)
            text = f"{name}: {roofs[name] / 1e9:.0f} GB/s"
            at = low * 1.1
            boxes += _line(axes, (low, low * roofs[name]), (knee, highest))
            axes.text(at, at * roofs[name] * 1.15, text, color=MEMORY, fontsize=8, rotation=slope,
                      rotation_mode="anchor", ha="left", va="bottom")  # fmt: skip
    for op, rate in tops.items():
        axes.plot(
            [rate / memory, high], [rate, rate], color=ARITHMETIC, linewidth=2 if rate == highest else 1
        )
        text = f"{ROOFS[op]}: {_rate(rate)}/s"
        axes.text(high, rate * 1.08, text, color=ARITHMETIC, ha="right", va="bottom", fontsize=8)
        boxes += _line(axes, (rate / memory, rate), (high, rate))
    axes.figure.canvas.draw()
    return boxes + [text.get_window_extent() for text in axes.texts]


def _line(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> list[Any]:
    """Small boxes along a line, in pixels: what names should not lie on."""
    from matplotlib.transforms import Bbox

    (x0, y0), (x1, y1) = axes.transData.transform([start, end])
    n = 200
    places = [(x0 + (x1 - x0) * k / n, y0 + (y1 - y0) * k / n) for k in range(n + 1)]
    return [Bbox.from_extents(x - 1, y - 1, x + 1, y + 1) for x, y in places]


def _slope(axes: Any) -> float:
    """Degrees that a line of proportion rises on these axes."""
    axes.figure.canvas.draw()
    (x0, y0), (x1, y1) = axes.transData.transform([(1.0, 1.0), (10.0, 10.0)])
    return math.degrees(math.atan2(y1 - y0, x1 - x0))


def _draw_points(figure: Figure, axes: Any, points: Sequence[Achieved], taken: Sequence[Any]) -> None:
    """Circles, whose areas are shares of time, and names beside them where there is room."""
    areas = [30 + 500 * p.share for p in points]
    axes.scatter(
        [p.intensity for p in points],
        [p.rate for p in points],
        s=areas,
        color=POINT,
        alpha=0.75,
        linewidths=0,
        zorder=3,
    )
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    boxes = [*taken, *(_circle(axes, p, a) for p, a in zip(points, areas, strict=True))]
    for point, area in list(zip(points, areas, strict=True))[:MOST_NAMED]:
        _name(axes, renderer, point, area, boxes)


def _circle(axes: Any, point: Achieved, area: float) -> Any:
    """The box of a point's circle, in pixels."""
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.intensity, point.rate))
    radius = math.sqrt(area / math.pi) * axes.figure.dpi / 72
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _name(axes: Any, renderer: Any, point: Achieved, area: float, boxes: list[Any]) -> None:
    """Put a point's name where it covers nothing; where all places are taken, it has none."""
    away = math.sqrt(area / math.pi) + 3
    text = f"{_plain(point.name)}  {point.share:.0%}"
    shifts = (0, -11, 11, -22, 22, -33, 33)
    places = [(away, k, "left", "center") for k in shifts] + [
        (0, -away, "center", "top"),
        (0, away, "center", "bottom"),
    ]
    places += [(-away, k, "right", "center") for k in shifts]
    inside = axes.get_window_extent(renderer)
    for dx, dy, horizontal, vertical in places:
        label = axes.annotate(
            text, (point.intensity, point.rate), (dx, dy), textcoords="offset points", color=INK, fontsize=8,
            ha=horizontal, va=vertical, parse_math=False,
        )  # fmt: skip
        box = label.get_window_extent(renderer)
        fits = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if fits and not any(box.overlaps(other) for other in boxes):
            boxes.append(box)
            return
        label.remove()


def _rate(x: float) -> str:
    """Operations a second: "12 G"."""
    for scale, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= scale:
            return f"{x / scale:.3g} {unit}"
    return f"{x:.3g}"


def _plain(text: str) -> str:
    """A name that matplotlib takes as it is: it would read mathematics between dollars."""
    return safe(text, 60).replace("$", r"\$")


def _write(figure: Figure, path: str | os.PathLike[str]) -> None:
    """The drawing in the format of the path's ending, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format=Path(path).suffix[1:] or "png", transparent=True)
    write_whole(path, data.getvalue())
