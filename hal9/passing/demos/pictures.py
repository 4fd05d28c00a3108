"""Examples that can be printed and drawn; matplotlib is loaded when something is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hal9.errors.passing import PassingExtraMissing, PassingInvalid
from hal9.passing.result import Array

__all__ = ["Axes", "Demo", "image", "lines", "save"]

Axes: TypeAlias = Any


@dataclass(frozen=True, kw_only=True)
class Demo:
    """A finished example.

    Attributes:
        lines: What to print.
        panels: Title → function that draws on one pair of axes.
    """

    lines: list[str]
    panels: dict[str, Callable[[Axes], Any]]


def save(demo: Demo, path: Path) -> None:
    """Draw all panels side by side into an image file (format by its suffix; folders are made).

    Raises:
        PassingInvalid: The file cannot be written.
        PassingExtraMissing: matplotlib is not installed (extra "pictures").
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - an optional library
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise PassingExtraMissing(
            library="matplotlib", extra="pictures", purpose="Drawing pictures"
        ) from error
    figure = Figure(figsize=(4.2 * len(demo.panels), 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, draw) in zip(
        figure.subplots(1, len(demo.panels), squeeze=False)[0], demo.panels.items(), strict=True
    ):
        draw(axes)
        axes.set_title(title, fontsize=10)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise PassingInvalid(what="picture", detail=f"{path} cannot be written ({error})") from error


def image(values: Array, colours: str, *, span: tuple[float, float] | None = None) -> Callable[[Axes], None]:
    """A panel with a two-dimensional array in colours, and its scale. `values` has shape (rows, columns)."""

    def draw(axes: Axes) -> None:
        low, high = span or (float(values.min()), float(values.max()))
        shown = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.figure.colorbar(shown, ax=axes, shrink=0.75)

    return draw


def lines(series: dict[str, tuple[Any, Any]], x: str, y: str, *, log: str = "") -> Callable[[Axes], None]:
    """A panel with named curves; `log` names the axes with a logarithmic scale."""

    def draw(axes: Axes) -> None:
        for name, (across, values) in series.items():
            axes.plot(across, values, marker="o" if len(values) < 12 else None, label=name)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        if "y" in log:
            axes.set_yscale("log")
        if "x" in log:
            axes.set_xscale("log")
        if len(series) > 1:
            axes.legend(fontsize=8)

    return draw
