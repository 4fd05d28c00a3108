"""Asking a language model: plain prompts, constrained answers, replies kept for replay."""

from dataclasses import dataclass

from hal9.errors.minds import MindReplyInvalid
from hal9.holograph.queries.answerers import Asked
from hal9.holograph.questions import Question, parse_answer, schema_for
from hal9.holograph.runs.store import RunStore
from hal9.holograph.spec import Problem
from hal9.minds.protocol import Message, Mind, Request

__all__ = ["MindAnswerer", "prompt_for"]

_SYSTEM = "You know cause and effect from general knowledge. Answer in JSON."


def prompt_for(question: Question, problem: Problem) -> str:
    """The question in words; the names come in the question's shown order."""
    first, second = question.first, question.second
    if question.swapped:
        first, second = second, first
    lines = [f"Domain: {problem.domain}." if problem.domain else ""]
    others = [name for name in problem.names if name not in (first, second)]
    labels = question.context.split("|")
    lines += [
        f"Setting {context.name}: {context.description or 'no further description'}."
        for context in problem.contexts
        if context.name in labels
    ]
    told = {
        "first": f"{first} ({problem.describe(first)})",
        "second": f"{second} ({problem.describe(second)})",
    }
    lines.append(f"First variable: {told['first']}.")
    lines.append(f"Second variable: {told['second']}.")
    lines.append(f"Other listed variables: {', '.join(others[:40]) or 'none'}.")
    lines.append(_ASK[question.kind].format(**told, claims=" ".join(_claims(question))))
    return "\n".join(line for line in lines if line)


def _claims(question: Question) -> list[str]:
    labels = question.context.split("|")
    return [f"In {label}, {claim}." for label, claim in zip(labels, question.claims, strict=False)]


# Each verdict is spelled out with the variables' own words: small models copy a bare list of options.
_ASK = {
    "direction": """Which is right?
- first_causes_second: {first} directly leads to {second}
- second_causes_first: {second} directly leads to {first}
- no_direct_effect: neither directly leads to the other
- common_cause: something that is not listed leads to both
- unknown
Also say whether the effect raises or lowers, or is unclear.""",
    "mechanism": """If one of {first} and {second} affects the other, how?
- direct: without any other listed variable in between
- mediated: only through other listed variables; name them
- no_effect: neither affects the other
- unknown""",
    "confounder": """Does something that is not listed lead to both {first} and {second}?
- hidden_common_cause: yes; name it
- no_hidden_common_cause: no
- unknown""",
    "discriminator": """{claims} Both cannot hold. What explains the contradiction?
- latent_cause: a latent variable leads to both; name it
- first_causes_second: {first} leads to {second}
- second_causes_first: {second} leads to {first}
- neither: they have nothing to do with each other
- unknown""",
}


@dataclass(frozen=True, slots=True)
class MindAnswerer:
    """Puts questions to an opened mind.

    Attributes:
        cache: where replies are looked up before a call and kept after it; None always calls.
    """

    mind: Mind
    problem: Problem
    cache: RunStore | None = None
    temperature: float = 0.0
    max_tokens: int = 200

    @property
    def name(self) -> str:
        return self.mind.name

    async def ask(self, question: Question) -> Asked:
        """Ask, or take the reply that the mind gave to the same prompt before.

        Raises:
            MindError: the mind cannot be reached or refuses. A reply that does not fit the schema is no
            error:
                it is returned as failed.
        """
        prompt = prompt_for(question, self.problem)
        if self.cache is not None:
            known = self.cache.cached_exchange(self.mind.name, prompt)
            if known is not None:
                return Asked(parse_answer(question, known[1], known[0]), "cached", prompt, known[0])
        request = Request(
            messages=(Message("system", _SYSTEM), Message("user", prompt)),
            schema=schema_for(question.kind),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            metadata={"purpose": "holograph", "question": question.key},
        )
        try:
            reply = await self.mind.think(request)
        except MindReplyInvalid as error:
            return Asked(None, "failed", prompt, error.text)
        answer = parse_answer(question, reply.parsed, reply.text)
        usage = reply.usage
        if answer is not None and self.cache is not None:
            self.cache.keep_exchange(self.mind.name, prompt, reply.text, reply.parsed)
        return Asked(
            answer,
            "issued" if answer is not None else "failed",
            prompt,
            reply.text,
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.usd,
            usage.seconds,
        )
