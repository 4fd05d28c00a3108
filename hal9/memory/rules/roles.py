"""Rules for whoever plans and for whoever answers for the whole: kinds of work that no file names.

`planning` is how work is divided: it speaks to the layers that divide. `acceptance` is what must be true
before a task counts as done (a check that was missing, a requirement that was missed): it speaks to whoever
has the whole task, and to nobody who has a part of it. Told by closed lists of phrases, as in `wording`.
"""

import re

__all__ = ["ACCEPTANCE", "PLANNING", "ROLES", "role_of", "roles_of"]

PLANNING = "planning"
ACCEPTANCE = "acceptance"
ROLES = (PLANNING, ACCEPTANCE)
_DIVIDES = 3


def _any_of(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


_PLANNING = _any_of(
    r"\b(?:split|divid\w+|break(?:ing)?|separat\w+)\b[^.;\n]{0,40}"
    r"\b(?:tasks?|jobs?|plans?|work(?: items?)?)\b",
    r"\bwork items?\b|\bplan (?:one|a|each|every|the|for)\b|\bthe plan (?:must|should|needs|has)\b",
    r"\baufgaben?\b.{0,40}\b(?:aufteil\w+|aufgeteilt|zerleg\w+|teil\w+)\b|\bteil\w* (?:die )?aufgaben?\b",
    r"\b(?:découp\w+|divis\w+)\b.{0,30}\btâches?\b|\b(?:divid\w+|separ\w+)\b.{0,30}\b(?:tareas?|tarefas?)\b",
    r"\bsuddivid\w+\b.{0,30}\bcompit[oi]\b|\b(?:opsplits\w+|opdel\w+|splits)\b.{0,30}\bta(?:ak|ken)\b",
    r"\bpodziel\w*\b.{0,30}\bzadani\w+|(?:раздел|разбе[йи]|разби)\w*.{0,30}задач",
    r"(?:拆分|分解|分成).{0,12}任务|任务.{0,12}(?:拆分|分解|分成)|タスク.{0,8}(?:分割|分け)",
)
_OF_PARTS = _any_of(
    r"\b(?:split|divid\w+|break(?:ing)?|cut|separat\w+)\b[^.;\n]{0,40}\b(?:parts?|pieces|steps)\b",
    r"\b(?:too (?:many|few)|fewer|more|smaller|larger|bigger|one|two|single|separate|own)"
    r" (?:parts?|steps?|pieces)\b",
    r"\b(?:parts?|steps?) (?:must|should|may|can) (?:not )?"
    r"(?:touch|write|share|overlap|change|depend|build)\b",
    r"\b(?:zu viele|weniger|einzelne|eigene[rn]?|kleinere) (?:teile?|schritte)\b"
    r"|\b(?:trop de|moins de) (?:parties|étapes)\b",
    r"\b(?:demasiad[ao]s|menos|muitas|troppe|te veel) (?:partes|pasos|passos|parti|delen|stappen)\b",
    r"частей|шагов|(?:部分|步骤)(?:太多|太少)",
)
"""Of the work only where the task at hand was divided: else of names, files or values."""
_WHOLE = r"changelog|docs?|documentation|tests?|migrations?|requirements?|translations?|readme|release notes?"
_END = r"finish\w*|done|answer(?:ing)?|commit\w*|submit\w*|deliver\w*|hand(?:ing)? (?:it )?(?:in|over)"
_ACCEPTANCE = _any_of(
    rf"\b(?:forgot|forget|missed|missing|left out|overlooked|omitted)\b[^.;\n]{{0,60}}\b(?:{_WHOLE})\b",
    rf"\b(?:run|execute|pass(?:es)?|verify|check)\b[^.;\n]{{0,60}}\bbefore\b[^.;\n]{{0,30}}\b(?:{_END})\b",
    rf"\bbefore you(?:'re| are)? (?:{_END})\b|\bnot done (?:until|before|unless)\b",
    r"\b(?:is|are|counts? as) (?:only )?(?:done|finished|complete) (?:only )?(?:when|if|once|after)\b",
    r"\bevery (?:change|task|feature|fix) (?:needs|must|has to|should|comes with)\b",
    r"\b(?:vergessen|fehlt|fehlen)\b.{0,60}\b(?:tests?|doku\w*|changelog|prüfung\w*|anforderung\w*)\b",
    r"\b(?:tests?|doku\w*|changelog|prüfung\w*|anforderung\w*)\b.{0,60}\b(?:vergessen|fehlt|fehlen)\b",
    r"\b(?:bevor|ehe) du (?:fertig|antwort|abschlie|ablief)|\berst fertig,? wenn\b",
    r"\bjede änderung (?:braucht|muss)\b",
    r"\b(?:oublié|manque)\b.{0,40}"
    r"\b(?:tests?|documentation|changelog)\b|\bavant de (?:finir|terminer|répondre)\b",
    r"\b(?:olvidaste|falta\w*)\b.{0,40}\b(?:pruebas?|tests?|documentación|changelog)\b",
    r"\bantes de (?:terminar|acabar|responder|entregar)\b|\bprima di (?:finire|consegnare|rispondere)\b",
    r"\bvoordat je (?:klaar|antwoord)|\bzanim skończysz\b|перед (?:завершением|сдачей)",
    r"забыл\w*.{0,40}(?:тест|документац)|(?:完成|提交)之?前|忘(?:记|了).{0,12}(?:测试|文档)|(?:完了|終わる|提出)(?:する)?前",
)


def role_of(words: str, *, divided: bool = False) -> str:
    """`planning`, `acceptance`, or "" for a rule about the work itself.

    Args:
        words: the rule as a person says it.
        divided: the task of which they speak was divided.
    """
    if _PLANNING.search(words) or (divided and _OF_PARTS.search(words)):
        return PLANNING
    return ACCEPTANCE if _ACCEPTANCE.search(words) else ""


def roles_of(layer: int, *, part: bool) -> tuple[str, ...]:
    """What a neuron's layer has to do besides the work: plan it, answer for the whole.

    Args:
        layer: of the neuron; from L3 on, it divides.
        part: it was given one part of a task.
    """
    planning = (PLANNING,) if layer >= _DIVIDES else ()
    return planning if part else (*planning, ACCEPTANCE)
