"""progress.png: six panels over a run's episodes, two over the promptgrams of an outer run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hal9.errors.trainer import OptimiserMissing
from hal9.ripmap.parameters import PARAMETERS
from hal9.trainer.outer.prompting import Measured
from hal9.trainer.record.run_log import RunLog

__all__ = ["plot_outer", "plot_progress"]

_KEPT, _LOST, _LINE = "#1b7837", "#b2182b", "#2166ac"


def plot_progress(pad: RunLog, path: Path) -> Path:
    """Draw NDCG, gains, failures, confidence, the most moved parameters, and time with tokens.

    Raises:
        OptimiserMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow, optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise OptimiserMissing(strategy="progress.png", library="matplotlib") from error
    entries = pad.entries
    figure = Figure(figsize=(13, 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(2, 3).ravel()
    what = pad.settings.get("mind") or pad.settings.get("strategy") or pad.kind
    figure.suptitle(f"{path.parent.name}: {what}, {len(entries)} episodes")
    _trajectory(axes[0], entries)
    _gains(axes[1], entries)
    _numbers(axes[2], entries, "failing", "failing cases", "cases below the threshold")
    _numbers(axes[3], entries, "confidence", "the mind's confidence", "0 to 1", low=0.0, high=1.0)
    _parameters(axes[4], entries)
    _costs(axes[5], entries)
    for axis in axes:
        axis.set_xlabel("episode")
        axis.grid(alpha=0.25)
        axis.xaxis.get_major_locator().set_params(integer=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    figure.savefig(scratch, dpi=110, format="png")
    scratch.replace(path)
    return path


def plot_outer(measured: Mapping[str, Measured], path: Path) -> Path:
    """Draw every promptgram's inner runs, in the order in which promptgrams were made.

    Left: the final NDCG@10, seed by seed, with its mean and the common start. Right: how many episodes kept a
    step at all, because promptgrams under which nothing is kept cannot differ.

    Raises:
        OptimiserMissing: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow, optional
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise OptimiserMissing(strategy="progress.png", library="matplotlib") from error
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _finals(left, list(measured.values()))
    _shares(right, list(measured.values()))
    for axis in (left, right):
        axis.set_xticks(range(len(measured)), list(measured), rotation=45, ha="right", fontsize=8)
        axis.grid(alpha=0.25, axis="y")
        axis.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}")
    figure.savefig(scratch, dpi=110, format="png")
    scratch.replace(path)
    return path


def _finals(axis: Any, measured: Sequence[Measured]) -> None:
    axis.set_title("final NDCG@10 of inner runs")
    starts = [value for one in measured for value in one.starts.values()]
    axis.axhline(sum(starts) / len(starts), color=_LOST, linestyle="--", linewidth=0.9, label="common start")
    for place, one in enumerate(measured):
        values = list(one.finals.values())
        label = {"label": "an inner run"} if place == 0 else {}
        axis.plot([place] * len(values), values, ".", color=_LINE, alpha=0.6, **label)
        label = {"label": "mean over seeds"} if place == 0 else {}
        axis.plot([place - 0.25, place + 0.25], [one.mean] * 2, color=_KEPT, linewidth=2, **label)
    # Differences below a thousandth are noise on any corpus here; zooming into them would draw them large.
    low, high = axis.get_ylim()
    middle, half = (low + high) / 2, max((high - low) / 2, 0.005)
    axis.set_ylim(middle - half, middle + half)


def _shares(axis: Any, measured: Sequence[Measured]) -> None:
    kept = [one.kept for one in measured]
    told = f"{sum(kept)} of {sum(one.episodes for one in measured)} episodes kept a step"
    axis.set_title(told)
    axis.bar(range(len(measured)), kept, color=_KEPT, label="kept a step")
    rest = [one.episodes - one.kept for one in measured]
    axis.bar(range(len(measured)), rest, bottom=kept, color=_LOST, alpha=0.35, label="took every step back")
    axis.yaxis.get_major_locator().set_params(integer=True)


def _trials(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry] if "candidate" in entry else list(entry["trials"])


def _trajectory(axis: Any, entries: Sequence[dict[str, Any]]) -> None:
    numbers = [entry["episode"] + 1 for entry in entries]
    axis.set_title("NDCG@10 on the training split")
    for kept, colour, label in ((True, _KEPT, "kept"), (False, _LOST, "taken back")):
        found = [
            (entry["episode"] + 1, trial["ndcg"])
            for entry in entries
            for trial in _trials(entry)
            if trial["kept"] is kept
        ]
        if found:
            axis.plot(*zip(*found, strict=True), ".", color=colour, alpha=0.6, markersize=5, label=label)
    axis.plot(
        numbers, [entry["best_ndcg"] for entry in entries], color=_LINE, drawstyle="steps-post", label="best"
    )
    axis.legend(loc="best", fontsize=8)


def _gains(axis: Any, entries: Sequence[dict[str, Any]]) -> None:
    axis.set_title("measured gain, with its standard error")
    for entry in entries:
        for trial in _trials(entry):
            colour = _KEPT if trial["kept"] else _LOST
            axis.errorbar(
                entry["episode"] + 1,
                trial["gain"],
                trial["error"],
                fmt=".",
                color=colour,
                alpha=0.6,
                linewidth=0.8,
            )
    axis.axhline(0.0, color="black", linewidth=0.6)


def _numbers(
    axis: Any, entries: Sequence[dict[str, Any]], key: str, title: str, label: str, **limits: float
) -> None:
    found = [(entry["episode"] + 1, entry[key]) for entry in entries if entry.get(key) is not None]
    axis.set_title(title)
    axis.set_ylabel(label)
    if limits:
        axis.set_ylim(limits["low"] - 0.03, limits["high"] + 0.03)
    if found:
        axis.plot([n for n, _ in found], [value for _, value in found], ".-", color=_LINE)
    else:
        axis.text(
            0.5, 0.5, "a numerical strategy has none", ha="center", va="center", transform=axis.transAxes
        )


def _parameters(axis: Any, entries: Sequence[dict[str, Any]]) -> None:
    axis.set_title("the best parameters, those that moved most")
    axis.set_ylabel("position within the range")
    if not entries:
        return
    last = entries[-1]["params"]

    def unit(name: str, entry: dict[str, Any]) -> float:
        item = PARAMETERS[name]
        return item.to_unit(entry["params"].get(name, item.default))

    moved = sorted(
        last,
        key=lambda name: -abs(unit(name, entries[-1]) - PARAMETERS[name].to_unit(PARAMETERS[name].default)),
    )
    for name in moved[:6]:
        axis.plot(
            [0, *(entry["episode"] + 1 for entry in entries)],
            [PARAMETERS[name].to_unit(PARAMETERS[name].default), *(unit(name, entry) for entry in entries)],
            drawstyle="steps-post",
            label=name,
        )
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlim(-0.5, entries[-1]["episode"] + 1.5)
    if moved:
        axis.legend(fontsize=7)
    else:
        axis.text(0.5, 0.5, "nothing was kept", ha="center", va="center", transform=axis.transAxes)


def _costs(axis: Any, entries: Sequence[dict[str, Any]]) -> None:
    axis.set_title("time and tokens, summed")
    numbers = [entry["episode"] + 1 for entry in entries]
    seconds, tokens = [0.0], [0]
    for entry in entries:
        usage = entry.get("usage") or {}
        seconds.append(seconds[-1] + entry["duration_secs"])
        tokens.append(tokens[-1] + usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0))
    axis.plot(numbers, seconds[1:], color=_LINE)
    axis.set_ylabel("seconds", color=_LINE)
    if tokens[-1]:
        other = axis.twinx()
        other.plot(numbers, tokens[1:], color=_LOST)
        other.set_ylabel("tokens", color=_LOST)
