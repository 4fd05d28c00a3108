"""report.md of a run: what was tried, what it is worth, and what it is not."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal9.trainer.record.detection import EXPLANATIONS
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.reporting.views import sparkline

__all__ = ["cost_lines", "write_report"]

_NEAREST = 3


def write_report(folder: Path, pad: RunLog, results: Mapping[str, Any]) -> Path:
    """Write report.md beside progress.png."""
    best = [entry["best_ndcg"] for entry in pad.entries]
    what = pad.settings.get("mind") or pad.settings.get("strategy")
    lines = [
        f"# Run {folder.name}",
        "",
        _opening(what, pad, results),
        "",
        f"**{results['verdict'].capitalize()}.**",
        "",
        f"`{sparkline(best)}`" if best else "",
        "",
        "| split | cases | start | best | gain (95% interval) | p | won/lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, cell in results["splits"].items():
        low, high = cell["interval"]
        lines.append(
            f"| {name} | {cell['cases']} | {cell['start']['ndcg']:.4f} | {cell['best']['ndcg']:.4f} "
            f"| {cell['gain']:+.4f} ({low:+.4f} to {high:+.4f}) | {cell['p']:.3f} "
            f"| {cell['won']}/{cell['lost']} |"
        )
    lines += [
        "",
        "NDCG@10. The training split was searched on, so its gain is biased upward; validation was not.",
        "",
    ]
    if (folder / "progress.png").is_file():
        lines += ["![progress](progress.png)", ""]
    lines += _changed(results) + _kept(pad) + _detections(pad) + cost_lines(results)
    path = folder / "report.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _opening(what: object, pad: RunLog, results: Mapping[str, Any]) -> str:
    return (
        f"{what}, {len(pad.entries)} episodes, {results['evaluations']} evaluations of the training split; "
        f"ended because: {results['reason']}" + (f" ({results['detail']})." if results.get("detail") else ".")
    )


def _changed(results: Mapping[str, Any]) -> list[str]:
    if not results["changed"]:
        return ["## Parameters", "", "None was changed.", ""]
    rows = [f"| `{name}` | {value:.4g} |" for name, value in results["changed"].items()]
    return ["## Parameters changed from the defaults", "", "| name | value |", "|---|---|", *rows, ""]


def _kept(pad: RunLog) -> list[str]:
    kept = [
        f"- episode {entry['episode'] + 1}: "
        + ", ".join(f"{name} {a:.4g} to {b:.4g}" for name, (a, b) in trial["moved"].items())
        + f", {trial['gain']:+.4f} ± {trial['error']:.4f}"
        for entry in pad.entries
        for trial in entry.get("trials", ())
        if trial["kept"]
    ]
    if pad.kind != "inner":
        return []
    measured = sum(len(entry["trials"]) for entry in pad.entries)
    lines = ["## Steps kept", "", f"{len(kept)} of {measured} measured.", "", *kept, *([""] if kept else [])]
    missed = _missed(pad)
    return [*lines, "## Nearest to being kept", "", *missed, ""] if missed else lines


def _missed(pad: RunLog) -> list[str]:
    """The refused steps with the most gain for their noise: what more cases might decide."""
    found = [
        (trial["gain"] / trial["error"], entry["episode"] + 1, trial)
        for entry in pad.entries
        for trial in entry["trials"]
        if not trial["kept"] and trial["gain"] > 0 and trial["error"] > 0
    ]
    return [
        f"- episode {number}: "
        + ", ".join(f"{name} {a:.4g} to {b:.4g}" for name, (a, b) in trial["moved"].items())
        + f", {trial['gain']:+.4f} ± {trial['error']:.4f}: {trial['why']}"
        for _, number, trial in sorted(found, key=lambda one: -one[0])[:_NEAREST]
    ]


def _detections(pad: RunLog) -> list[str]:
    found = Counter(name for entry in pad.entries for name in entry.get("detections", ()))
    if not found:
        return []
    return [
        "## Detected",
        "",
        *(f"- {name} ({n} episodes): {EXPLANATIONS[name]}" for name, n in found.items()),
        "",
    ]


def cost_lines(results: Mapping[str, Any]) -> list[str]:
    """Calls, tokens, money and time of a run that asked minds."""
    usage = results.get("usage")
    if not usage:
        return []
    known = results.get("usd_known", 0.0)
    money = f"{usage['usd']:.4f} US dollars" if usage["usd"] is not None else "price unknown"
    if usage["usd"] is None and known:
        money = f"at least {known:.4f} US dollars (other calls have no known price)"
    told = (
        f"{usage['calls']} calls, {usage['prompt_tokens']} prompt and {usage['completion_tokens']} "
        f"completion tokens, {money}, {usage['seconds']:.0f} s of waiting."
    )
    return ["## Cost", "", told, ""]
