"""What a terminal shows of runs: sparklines, lists, insights, interactions."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hal9.errors.base import Hal9Error
from hal9.learning import Change
from hal9.trainer.record.run_log import RunLog
from hal9.trainer.record.runs import list_runs, load_run

__all__ = ["episode_line", "ledger_lines", "list_lines", "show_lines", "sparkline", "why_lines"]

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float]) -> str:
    """One bar per value, between the smallest and the largest."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high - low < 1e-12:
        return _BARS[0] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def episode_line(entry: Mapping[str, Any]) -> str:
    """One episode in one line."""
    number, best = entry["episode"] + 1, entry["best_ndcg"]
    if "candidate" in entry:
        return f"{number:4d}  best {best:.4f}  this {entry['ndcg']:.4f}{'  kept' if entry['kept'] else ''}"
    if entry["error"]:
        told = f"no proposal: {entry['error'][:110]}"
    else:
        moved = ", ".join(f"{n} {s[0]} {s[1]}" for n, s in entry["proposed_changes"].items()) or "nothing"
        gains = ", ".join(f"{trial['gain']:+.4f}" for trial in entry["trials"]) or "not measured"
        told = f"{moved}: {gains} {'KEPT' if entry['kept'] else 'taken back'}"
    named = "".join(f"  ! {name}" for name in entry.get("detections", ()))
    return f"{number:4d}  best {best:.4f}  {told}{named}"


def list_lines(root: Path) -> list[str]:
    """Every run in one line; damaged ones are named as such."""
    lines = []
    for name in list_runs(root):
        try:
            pad = load_run(root, name)
        except Hal9Error as error:
            lines.append(f"{name}: {error}")
            continue
        best = [entry["best_ndcg"] for entry in pad.entries]
        done = "finished" if (root / name / "results.json").is_file() else "unfinished"
        figure = f"{best[0]:.4f} -> {best[-1]:.4f}" if best else "nothing yet"
        what = pad.settings.get("mind") or pad.settings.get("strategy") or ""
        lines.append(
            f"{name}: {what}, {len(best)} episodes, {done}, NDCG@10 {figure}  {sparkline(best[-40:])}"
        )
    return lines


def readable(root: Path) -> tuple[list[tuple[str, RunLog]], list[str]]:
    """The runs whose records can be read, and a sentence for every other."""
    pads, damaged = [], []
    for name in list_runs(root):
        try:
            pads.append((name, load_run(root, name)))
        except Hal9Error as error:
            damaged.append(f"left out {name}: {error}")
    return pads, damaged


def verdict_lines(results: Mapping[str, Any], best: Sequence[float] = ()) -> list[str]:
    """How a run ended and what it is worth, split by split."""
    why = results["reason"] + (f": {results['detail']}" if results.get("detail") else "")
    lines = [f"best NDCG@10 {sparkline(best[-60:])}"] if best else []
    lines.append(f"{results['verdict']} (ended because: {why})")
    for name, cell in results["splits"].items():
        low, high = cell["interval"]
        lines.append(
            f"  {name}: NDCG@10 {cell['start']['ndcg']:.4f} -> {cell['best']['ndcg']:.4f}"
            f" ({cell['gain']:+.4f}, 95% {low:+.4f} to {high:+.4f}, p {cell['p']:.3f}, n {cell['cases']})"
        )
    if results["verdict"].startswith("worse"):
        lines.append("do not use results.trained.json: the parameters it began with rank better elsewhere")
    return lines


def show_lines(pad: RunLog, results: Mapping[str, Any] | None = None) -> list[str]:
    """One run: trajectory, episodes, what changed, what it is worth."""
    best = [entry["best_ndcg"] for entry in pad.entries]
    told = ", ".join(f"{name} {value}" for name, value in pad.settings.items() if value not in ("", {}, None))
    lines = [f"{pad.kind} run: {told}", f"best NDCG@10 {sparkline(best)}"]
    lines += [episode_line(entry) for entry in pad.entries]
    if pad.entries:
        lines.append("changed: " + (_changes(pad.entries[-1]["params"]) or "nothing"))
    if results is not None:
        first, *rest = verdict_lines(results)
        lines += [f"verdict: {first}", *rest]
    return lines


def ledger_lines(rows: Sequence[Change]) -> list[str]:
    """Steps and edits, oldest first, one line each."""
    lines = []
    for change in rows:
        paired = change.figures.get("paired")
        told = f" {paired['gain']:+.4f} ± {paired['error']:.4f}" if paired else ""
        what = " ".join(str(change.evidence["what"]["content"]).split())[:140]
        lines.append(f"{change.id[-12:]} {change.kind} {change.target} {change.state}{told}  {what}")
    return lines


def why_lines(change: Change, history: Sequence[Change]) -> list[str]:
    """One change with its evidence, and what became of it."""
    evidence = change.evidence
    lines = [
        f"{change.id}: {change.kind} of {change.target}, {change.state}",
        f"proposed by {change.actor}: {evidence['what']['content']}",
    ]
    if evidence.get("critique"):
        lines.append(f"because: {evidence['critique']}")
    lines += [f"  {name}: {text}" for name, text in (evidence["what"].get("rationale") or {}).items() if text]
    if evidence.get("cases"):
        lines.append(f"after failures of {', '.join(evidence['cases'])}")
    if paired := change.figures.get("paired"):
        count = f", {paired['won']} cases won, {paired['lost']} lost" if "won" in paired else ""
        lines.append(f"measured: {paired['gain']:+.4f} ± {paired['error']:.4f} NDCG@10{count}")
    lines += [f"{row.before} -> {row.after} by {row.actor}: {row.cause}" for row in history]
    return lines


def _changes(params: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in params.items())


def insight_lines(pads: Iterable[tuple[str, RunLog]]) -> list[str]:
    """Structural insights of all runs, the commonest first."""
    return _counted(pads, "structural_insights")


def interaction_lines(pads: Iterable[tuple[str, RunLog]]) -> list[str]:
    """Observed interactions of all runs; each is what a mind said, not a measurement."""
    return _counted(pads, "param_interactions")


def _counted(pads: Iterable[tuple[str, RunLog]], key: str) -> list[str]:
    said: Counter[str] = Counter()
    where: dict[str, set[str]] = {}
    for name, pad in pads:
        for entry in pad.entries:
            for text in entry.get(key) or ():
                said[text] += 1
                where.setdefault(text, set()).add(name)
    return [f"{count}x  {text}  ({', '.join(sorted(where[text]))})" for text, count in said.most_common()]
