"""What all sections of the settings are made of: strict models, and the ranges that recur."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Positive", "Seconds", "Section", "Share"]

Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """One section: a key that does not exist is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)
