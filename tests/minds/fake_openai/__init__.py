"""A chat server on loopback that behaves as servers do: well, and in every way one can fail."""

from tests.minds.fake_openai.server import (
    USAGE,
    Behaviour,
    FakeOpenAI,
    Handler,
    cuts_the_stream,
    errs_in_the_stream,
    fails,
    hangs,
    raw,
    resets,
    says,
    truncates,
)

__all__ = [
    "USAGE",
    "Behaviour",
    "FakeOpenAI",
    "Handler",
    "cuts_the_stream",
    "errs_in_the_stream",
    "fails",
    "hangs",
    "raw",
    "resets",
    "says",
    "truncates",
]
