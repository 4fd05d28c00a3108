"""What the dashboard's buttons do; each answers with the page to go to and what to say there."""

from collections.abc import Mapping
from typing import Any

from hal9.api.requests import ask
from hal9.api.routes.questions import answer as give_answer
from hal9.dashboard.view import View
from hal9.errors.cluster import TaskInvalid

__all__ = [
    "answer",
    "approve",
    "cancel",
    "deny",
    "feedback",
    "pause",
    "resume",
    "retry",
    "submit",
    "undo",
]

_QUEUED = "The cluster is down; this is kept and done when it comes up."


async def submit(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """A new task."""
    workspace = view.services.workspace_of(form.get("workspace", "").strip() or None, token=view.token)
    task_id = await view.services.cluster.submit(
        form.get("objective", ""),
        workspace=workspace,
        check=form.get("check", "").strip() or None,
        labels={"client": view.token.name},
    )
    return f"/tasks/{task_id}", "The task was accepted."


async def cancel(view: View, _form: Mapping[str, str]) -> tuple[str, str]:
    """End a task."""
    task_id = str(view.request.path_params["id"])
    await view.services.cluster.cancel(task_id)
    return f"/tasks/{task_id}", "The task is being cancelled."


async def retry(view: View, _form: Mapping[str, str]) -> tuple[str, str]:
    """The same task once more, as a new one."""
    old = await view.services.cluster.task(str(view.request.path_params["id"]))
    payload = old.payload
    view.services.check_reuse(payload.workspace, token=view.token)
    task_id = await view.services.cluster.submit(
        payload.objective,
        workspace=payload.workspace,
        check=payload.check,
        inline=payload.files,
        targets=payload.targets,
        budget_tokens=payload.grant.tokens,
        budget_usd=payload.grant.usd,
        scope=payload.scope,
        workload=old.workload,
        labels={**payload.labels, "retry_of": old.id},
    )
    return f"/tasks/{task_id}", "The task was accepted once more."


async def feedback(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """Judge an answer."""
    task_id = str(view.request.path_params["id"])
    body: dict[str, Any] = {}
    if form.get("verdict") in ("accept", "reject"):
        body["verdict"] = form["verdict"]
    for name in ("why", "note", "expected"):
        if form.get(name, "").strip():
            body[name] = form[name]
    if form.get("score", "").strip():
        try:
            body["score"] = float(form["score"])
        except ValueError:
            raise TaskInvalid(problem=f"the score {form['score'][:20]!r} is no number from 0 to 1") from None
    answer = await ask(view.services, "feedback", body, task_id=task_id)
    return f"/tasks/{task_id}", _said(answer.queued, answer.said)


async def undo(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """Undo a change of the ledger."""
    answer = await ask(view.services, "rollback", {"change": form.get("change", "")})
    return "/learning/ledger", _said(answer.queued, answer.said)


async def pause(view: View, _form: Mapping[str, str]) -> tuple[str, str]:
    """Stop learning."""
    answer = await ask(view.services, "pause", {})
    return "/learning", _said(answer.queued, answer.said)


async def resume(view: View, _form: Mapping[str, str]) -> tuple[str, str]:
    """Learn again."""
    answer = await ask(view.services, "resume", {})
    return "/learning", _said(answer.queued, answer.said)


async def approve(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """Approve the very content that was shown."""
    body = {"change": form.get("change", ""), "hash": form.get("hash", "")}
    answer = await ask(view.services, "approve", body)
    return "/inbox", _said(answer.queued, answer.said)


async def answer(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """Answer what a running task waits for; a button's word comes first, a person's own after it."""
    words = " ".join(one for one in (form.get("word", ""), form.get("answer", "").strip()) if one)
    await give_answer(view.services.cluster, form.get("question", ""), words or "no")
    return "/inbox", "Answered; the task goes on."


async def deny(view: View, form: Mapping[str, str]) -> tuple[str, str]:
    """Refuse a change."""
    answer = await ask(view.services, "deny", {"change": form.get("change", ""), "why": form.get("why", "")})
    return "/inbox", _said(answer.queued, answer.said)


def _said(queued: bool, said: list[str]) -> str:
    return _QUEUED if queued else ". ".join(said) or "Done."
