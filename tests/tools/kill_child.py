"""A turn of twelve calls that is killed and started again; run as ``python -m tests.tools.kill_child DIR [TOOL]``.

The tool is `bash`, or `write`.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from hal9.minds.protocol import Message
from tests.tools.loops import bench, call

COMMANDS = 12


def say(asked: Path, tool: str) -> Any:
    """The next command after those whose result is no interruption; an interrupted one again."""

    def next_call(messages: tuple[Message, ...], position: int) -> Any:
        with asked.open("a") as stream:
            stream.write(f"{position}\n")
        seen = [message.content for message in messages if message.role == "tool"]
        done = sum(1 for text in seen if not text.startswith("Interrupted"))
        if done == COMMANDS:
            return call("finish", answer=f"{len(seen) - done} interrupted")
        if tool == "write":
            return call("write", path=f"{done}.txt", content=f"{done}\n")
        return call(
            "bash", command=f"echo {done} >> log.txt; sleep 0.03; echo {done} > last.txt; echo did {done}"
        )

    return next_call


async def main(folder: Path, tool: str) -> None:
    async with bench(folder, say(folder / "asked.txt", tool)) as opened:
        if opened.snapshot.accepted is None:
            end = await opened.loop.run()
            await opened.snapshot.accept(end.answer)
        (folder / "end.txt").write_text(opened.snapshot.accepted.note if opened.snapshot.accepted else "")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "bash"))
