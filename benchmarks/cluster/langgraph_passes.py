"""A peer: the same three layers down and up as a LangGraph graph with its SQLite checkpointer, durability sync."""

import asyncio
import json
import sys
import tempfile
import time
from importlib import metadata
from typing import TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    objective: str
    directive: str
    design: str
    answer: str
    gathered: str
    result: str


def graph() -> StateGraph:
    built = StateGraph(State)
    built.add_node("l4", lambda state: {"directive": state["objective"]})
    built.add_node("l3", lambda state: {"design": state["directive"]})
    built.add_node("l2", lambda state: {"answer": "done"})
    built.add_node("l3_up", lambda state: {"gathered": state["answer"]})
    built.add_node("l4_up", lambda state: {"result": state["gathered"]})
    for a, b in (
        (START, "l4"),
        ("l4", "l3"),
        ("l3", "l2"),
        ("l2", "l3_up"),
        ("l3_up", "l4_up"),
        ("l4_up", END),
    ):
        built.add_edge(a, b)
    return built


async def main(passes: int, concurrency: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncSqliteSaver.from_conn_string(f"{folder}/checkpoints.db") as saver:
            await saver.conn.execute("PRAGMA journal_mode=WAL")
            await saver.conn.execute("PRAGMA synchronous=NORMAL")
            compiled = graph().compile(checkpointer=saver)
            latencies: list[float] = []

            async def one(number: int) -> None:
                begun = time.perf_counter()
                config = {"configurable": {"thread_id": f"t{number}"}}
                done = await compiled.ainvoke({"objective": f"pass {number}"}, config, durability="sync")
                assert done["result"] == "done"
                latencies.append(time.perf_counter() - begun)

            async def run(count: int, base: int) -> float:
                numbers = iter(range(base, base + count))

                async def worker() -> None:
                    for number in numbers:
                        await one(number)

                begun = time.perf_counter()
                await asyncio.gather(*(worker() for _ in range(concurrency)))
                return time.perf_counter() - begun

            await run(min(50, passes), 10**6)
            latencies.clear()
            seconds = await run(passes, 0)
    versions = {name: metadata.version(name) for name in ("langgraph", "langgraph-checkpoint-sqlite")}
    print(
        json.dumps(
            {"seconds": seconds, "rate": passes / seconds, "latencies": latencies, "versions": versions}
        )
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
