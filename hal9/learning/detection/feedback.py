"""What a user says about a finished task."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hal9.errors.learning import FeedbackInvalid

__all__ = ["Feedback", "parse_feedback"]

_MOST_CHARS = 20_000


class Feedback(BaseModel):
    """A verdict, a score, the right answer, a remark; at least one of them.

    `why` is the reason of a rejection; `note` is a rule in the user's own words; `expected` is the whole
    right answer; `holds_for` is where a rule is to hold: `project`, `folder`, `file`, a path, a glob, or a
    kind of work.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: Literal["accept", "reject"] | None = None
    why: Annotated[str, Field(max_length=_MOST_CHARS)] = ""
    score: Annotated[float, Field(ge=0, le=1)] | None = None
    expected: Annotated[str, Field(max_length=_MOST_CHARS)] | None = None
    note: Annotated[str, Field(max_length=_MOST_CHARS)] = ""
    holds_for: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.verdict is None and self.score is None and self.expected is None and not self.note.strip():
            raise ValueError("it says nothing: accept, reject, a score, an expected answer or a note")
        if self.verdict == "accept" and self.expected is not None:
            raise ValueError("an accepted answer needs no expected one")
        return self

    @property
    def words(self) -> str:
        """What the user said, reason first."""
        return "\n".join(text.strip() for text in (self.why, self.note) if text.strip())


def parse_feedback(body: dict[str, Any]) -> Feedback:
    """Feedback out of a request's body.

    Raises:
        FeedbackInvalid: contradictory, empty, or out of range.
    """
    try:
        return Feedback.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FeedbackInvalid(
            problem=f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
        ) from error
