"""What calls cost, as it stands in steps and results."""

from hal9.minds.protocol import Usage
from hal9.signals import Tally

__all__ = ["tally_of"]


def tally_of(usage: Usage) -> Tally:
    """What a call cost; an unknown price counts as nothing."""
    return Tally(
        calls=usage.calls,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        usd=usage.usd or 0.0,
        seconds=usage.seconds,
    )
