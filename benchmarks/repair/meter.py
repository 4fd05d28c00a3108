"""A local model behind one server for every agent: tokens are counted, and the budget is the same for all."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.repair.oracle import Usage
from benchmarks.repair.serving import Refusal, serve
from hal9.minds.local.models import installed
from hal9.minds.local.server_handle import Address, LocalSettings, acquire, release

__all__ = ["Meter", "local_model"]

_LONGEST_REPLY = 512
_CONTEXT = 16_384
_PATIENCE = 280.0


@dataclass
class Meter:
    """Passes requests on to the model's server until the budget is used up.

    Attributes:
        address: the model's server.
        model: its name.
        budget: tokens of prompts and replies together that one case may take.
        usage: what the present case took; set anew for each.
        url: where agents ask.
    """

    address: Address
    model: str
    budget: int
    usage: Usage
    url: str = ""
    spent_up: bool = False

    def begin(self) -> None:
        """Count from nothing."""
        self.usage, self.spent_up = Usage(), False

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        used = self.usage.prompt_tokens + self.usage.completion_tokens
        if used >= self.budget:
            self.spent_up = True
            raise Refusal(f"the token budget of this case ({self.budget}) is used up")
        longest = body.pop("max_completion_tokens", None) or body.get("max_tokens") or _LONGEST_REPLY
        body.pop("stream_options", None)
        body |= {"model": self.model, "stream": False, "cache_prompt": True}
        body["max_tokens"] = min(int(longest), _LONGEST_REPLY)
        body.setdefault("seed", 1)
        request = urllib.request.Request(
            f"{self.address.url}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self.address.key}"},
        )
        usage = self.usage
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as stream:
                reply: dict[str, Any] = json.load(stream)
        except urllib.error.HTTPError as error:
            usage.calls += 1
            raise Refusal(error.read().decode("utf-8", "replace")) from error
        with _COUNTING:
            usage.calls += 1
            usage.prompt_tokens += reply["usage"]["prompt_tokens"]
            usage.completion_tokens += reply["usage"]["completion_tokens"]
        return reply


_COUNTING = threading.Lock()


@contextmanager
def local_model(name: str, *, budget: int, threads: int) -> Iterator[Meter]:
    """The model's server and the meter before it."""
    path = installed(name)
    settings = LocalSettings(model=name, threads=threads, context_tokens=_CONTEXT, parallel=1)
    server = acquire(f"local:{name}", path, settings)
    try:
        meter = Meter(server.ensure(), name, budget, Usage())
        with serve(meter.answer, name) as meter.url:
            yield meter
    finally:
        release(path, settings, server)
