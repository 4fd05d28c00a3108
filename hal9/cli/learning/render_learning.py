"""How learning looks in a terminal."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text
from rich.tree import Tree

__all__ = ["approval_panel", "ledger_lines", "pattern_lines", "pattern_panel", "status_lines", "why_tree"]

_CHANGES = ("prompt", "parameter", "model")


def _when(moment: float) -> str:
    return time.strftime("%m-%d %H:%M:%S", time.localtime(moment))


def _short(text: str, limit: int = 100) -> str:
    # Stored text may come from anywhere; nothing of it may steer the terminal.
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return escape(text if len(text) <= limit else text[: limit - 1] + "…")


def why_tree(found: dict[str, Any]) -> Tree:
    """Everything about one task: path, memories, verdict, gradients, what was learned."""
    task = found["task"]
    tree = Tree(f"[bold]{task['id'][-12:]}[/] {task['state']} {_short(task['objective'])}", guide_style="dim")
    path = tree.add("path")
    for step in found["path"]:
        prompt = step["promptgram"]
        line = f"L{step['layer']} {escape(step['neuron'])} {step['kind']} {step['outcome']}"
        line += f" [dim]prompt v{prompt['version']} {prompt['hash'][:8]}[/]"
        node = path.add(line)
        for route in step["routes"]:
            shares = ", ".join(f"{escape(name)} {share:.2f}" for name, share in route.get("odds", {}).items())
            target, policy = escape(str(route.get("to"))), escape(str(route.get("policy")))
            node.add(f"→ {target} [dim]({policy}; probabilities {shares})[/]")
    recalled = tree.add("recalled" if found["recalled"] else "recalled nothing: the prompt was the bare one")
    for one in found["recalled"]:
        record = f"helped {one.get('helped', 0)} of {one.get('tried', 0)}"
        recalled.add(f"rule {one['id']} [dim]{one['state']}, {record}[/]: {_short(one.get('rule', ''))}")
    outcome = found["outcome"]
    if outcome is None:
        tree.add("not judged yet")
    else:
        verdict = {True: "passed", False: "failed", None: "nobody judged"}[outcome["passed"]]
        tree.add(f"{verdict} [dim]by {outcome['judged_by'] or '-'} {outcome['error_type']}[/]")
    gradients = tree.add("gradients" if found["gradients"] else "no gradients")
    for one in found["gradients"]:
        line = (
            f"{escape(one['from'])} → {escape(one['to'])} [bold]{one['magnitude']:.2f}[/] {one['error_type']}"
        )
        note = one["state"] + (f": {one['reason']}" if one["reason"] else "")
        gradients.add(f"{line} [dim]{escape(note)}[/]\n{_short(one['critique'], 200)}")
    learned = tree.add("learned" if found["learned"] or found["patterns"] else "learned nothing")
    for one in found["patterns"]:
        learned.add(f"pattern {one['id']} ({one['occurrences']}x): {_short(one['title'])}")
    for one in found["learned"]:
        learned.add(
            f"{one['id'][-12:]} {one['kind']} {escape(one['target'])} [dim]{one['state']}[/] {_gist(one)}"
        )
    return tree


def _gist(change: dict[str, Any]) -> str:
    evidence = change["evidence"]
    if change["kind"] in _CHANGES:
        what = evidence.get("what", {})
        return _short(
            str(what.get("content") or f"{what.get('parameter')} {what.get('from')} → {what.get('to')}")
        )
    if change["kind"] == "rule":
        return f"{change['before'] or 'new'} → {change['after']} {_short(str(evidence.get('rule', '')))}"
    if change["kind"] == "import":
        return f"{change['figures'].get('mitigations', 0)} candidates came in"
    if change["kind"] == "weights":
        return _short("; ".join(str(line) for line in evidence.get("restored", [])), 160)
    if change["kind"] == "rollback":
        return f"everything to {_when(float(change['cause'].removeprefix('to ')))}"
    return f"{_short(change['before'], 40)} → {_short(change['after'], 60)}"


def pattern_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Patterns, surest first."""
    for one in rows:
        head = f"[bold]{one['id']}[/] {one['occurrences']}x sure {one['confidence']:.2f} {one['error_type']}"
        yield f"{head} [dim]{escape(one['scope'])}[/] {_short(one['title'])}"
        if one["prevention_strategy"]:
            yield f"   prevented by: {_short(one['prevention_strategy'], 160)}"


def pattern_panel(found: dict[str, Any]) -> Panel:
    """One pattern."""
    lines: list[RenderableType] = [
        Text(found["title"]),
        Text(f"{found['error_type']}, {found['scope']}, {found['occurrences']} times", style="dim"),
    ]
    for one in found["mitigations"]:
        record = f"tried {one['tried']}, helped {one['helped']}, failed {one['failed']}, hurt {one['hurt']}"
        lines.append(Text(f"rule {one['id']} {one['state']} ({record}; lower bound {one['lower_bound']})"))
        lines.append(Text(f"  {one['rule']}"))
        lines.append(Text(f"  {one['why']}", style="dim"))
    tasks = ", ".join(one["task_id"][-12:] for one in found["occurrences_in"])
    lines.append(Text(f"tasks {tasks}", style="dim"))
    return Panel(Group(*lines), title=f"pattern {found['id']}, confidence {found['confidence']:.2f}")


def ledger_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Changes, newest last, one line each."""
    for change in rows:
        target = change["target"]
        kind, shown = change["kind"], target[-12:] if change["kind"] == "state" else target
        state = "" if change["state"] == "noted" else f" [cyan]{change['state']}[/]"
        head = f"{change['id'][-12:]} [dim]{_when(change['time'])}[/] {kind} [bold]{escape(shown)}[/]"
        yield f"{head}{state} [dim]by {escape(change['actor'])}[/] {_gist(change)}"


def approval_panel(change: dict[str, Any]) -> Panel:
    """A change that waits, with its diff and the hash an approval is bound to."""
    from hal9.promptgram import Promptgram
    from hal9.promptgram import diff as promptgram_diff

    before = Promptgram.parse(change["before"], source=change["target"])
    after = Promptgram.parse(change["after"], source=change["target"])
    critique = str(change["evidence"].get("critique", ""))
    share = float(change["figures"].get("share", 0))
    parts: list[RenderableType] = [
        Text(f"{change['kind']} of {change['target']}, {share:.1%} of it changes"),
        Text(f"because: {critique}" if critique else f"from {change['actor']}", style="dim"),
        Syntax(promptgram_diff(before, after).rstrip(), "diff", background_color="default"),
        Text(f"content {change['hash']}", style="dim"),
        Text(f"hal9 approve {change['id'][-12:]} --hash {change['hash'][:12]}", style="bold"),
    ]
    return Panel(Group(*parts), title=change["id"][-12:])


def status_lines(found: dict[str, Any]) -> Iterator[str]:
    """Learning at a glance."""
    off = f"[yellow]off[/]: {escape(found['why_not'])}"
    yield "learning     " + ("[green]on[/]" if found["learning"] else off)
    if found["frozen"]:
        yield f"frozen       {escape(', '.join(found['frozen']))}"
    if found["held_still"]:
        yield f"held still   {escape(', '.join(found['held_still']))} (oscillated)"
    yield f"patterns     {found['patterns']}"
    yield "rules        " + (", ".join(f"{n} {state}" for state, n in found["mitigations"].items()) or "none")
    yield "gradients    " + (", ".join(f"{n} {state}" for state, n in found["gradients"].items()) or "none")
    yield "changes      " + (", ".join(f"{n} {state}" for state, n in found["changes"].items()) or "none")
    for one in found["being_tried"]:
        yield f"trying       {one['id'][-12:]} {one['kind']} of {escape(one['target'])} ({one['state']})"
    for one in found["forgotten"]:
        yield f"[yellow]forgetting[/]   {escape(one)}"
    for one in found["unusual"]:
        yield f"[yellow]{escape(one)}[/]"
