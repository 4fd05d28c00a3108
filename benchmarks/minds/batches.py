"""How many tokens should a local model compute at a time?

    python -m benchmarks.minds.batches [--sizes 32 64 128 256 512 2048] [--repeats 3] [--tokens 1500]

A question that was given up, and the answer of the other slot, wait for the batch that is being computed. For
each size: prompt tokens a second of a long prompt alone; how much longer a short question takes just after a
long prompt was given up in the middle, in seconds and over the long prompt's time; and the longest silence of
an answer in the other slot while a long prompt is read. Sizes take turns; medians.
"""

import argparse
import asyncio
import contextlib
import itertools
import statistics
import time
from typing import Any

from benchmarks.report import table, write
from hal9.minds import LocalMind, LocalSettings, Message, Request

_SHORT = "Say yes."


def _long(salt: str, tokens: int) -> Request:
    text = " ".join(f"{salt}{number}" for number in range(tokens // 4))
    return Request((Message("user", text),), max_tokens=1, temperature=0.0, seed=1)


def _short(salt: str, tokens: int = 1) -> Request:
    return Request((Message("user", f"{salt} {_SHORT}"),), max_tokens=tokens, temperature=0.0, seed=1)


async def timed(mind: LocalMind, request: Request) -> tuple[float, Any]:
    begun = time.perf_counter()
    reply = await mind.think(request)
    return time.perf_counter() - begun, reply


async def after_giving_up(mind: LocalMind, salt: str, tokens: int) -> float:
    """How long a short question takes when both slots' long prompts have just been given up."""
    long = [asyncio.create_task(mind.think(_long(f"{salt}{one}", tokens))) for one in "ab"]
    await asyncio.sleep(0.7)
    for one in long:
        one.cancel()
    await asyncio.gather(*long, return_exceptions=True)
    seconds, _ = await timed(mind, _short(f"{salt} now"))
    return seconds


async def longest_silence(mind: LocalMind, salt: str, tokens: int) -> float:
    """The longest time without a token of one answer while the other slot reads a long prompt."""
    seen: list[float] = []
    talking = asyncio.create_task(
        mind.think(_story(salt), on_token=lambda _text: seen.append(time.perf_counter()))
    )
    while len(seen) < 5 and not talking.done():
        await asyncio.sleep(0.01)
    begun = time.perf_counter()
    await mind.think(_long(f"{salt}x", tokens))
    ended = time.perf_counter()
    talking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talking
    within = [begun, *(one for one in seen if begun < one < ended), ended]
    return max(after - before for before, after in itertools.pairwise(within))


def _story(salt: str) -> Request:
    asked = f"{salt}. Count from 1 to 400, one number a line."
    return Request((Message("user", asked),), max_tokens=900, temperature=0.0, seed=1)


async def measure(size: int, repeat: int, tokens: int) -> dict[str, float]:
    async with LocalMind(LocalSettings(batch_tokens=size, threads=2)) as mind:
        await mind.warm()
        await mind.think(_short("warm"))
        alone, _ = await timed(mind, _short(f"alone {repeat}"))
        seconds, reply = await timed(mind, _long(f"r{repeat}", tokens))
        blocked = await after_giving_up(mind, f"g{repeat}", tokens) - alone
        silence = await longest_silence(mind, f"s{repeat}", tokens)
        return {
            "prompt tokens/s": (reply.usage.prompt_tokens - reply.usage.cached_tokens) / seconds,
            "blocked, s": blocked,
            "blocked / long prompt": blocked / seconds,
            "silence of the other slot, s": silence,
            "silence / long prompt": silence / seconds,
        }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 256, 512, 2048])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=1500)
    options = parser.parse_args()
    found: dict[int, list[dict[str, float]]] = {size: [] for size in options.sizes}
    for repeat in range(options.repeats):
        for size in options.sizes[:: 1 if repeat % 2 == 0 else -1]:
            found[size].append(await measure(size, repeat, options.tokens))
            print(size, {key: round(value, 2) for key, value in found[size][-1].items()}, flush=True)
    medians = {
        size: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for size, rows in found.items()
        if rows
    }
    columns = list(next(iter(medians.values())))
    rows = [(size, *(f"{row[key]:.2f}" for key in columns)) for size, row in medians.items()]
    table("tokens computed at a time", ["batch", *columns], rows)
    write("minds_batches", vars(options), {str(size): row for size, row in medians.items()}, "xllamacpp")


if __name__ == "__main__":
    asyncio.run(main())
