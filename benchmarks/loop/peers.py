"""The peers' loops: LangGraph's ToolNode with its SQLite checkpointer, and DBOS steps; in an environment of their own.

    python peers.py {bare|langgraph|dbos} FOLDER STEPS

Each thinks instantly, runs `true` in a shell, and records reply and result of every step in SQLite before it goes
on. Prints one JSON line: seconds of each step.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def command() -> str:
    """What one step runs."""
    done = subprocess.run(["/bin/bash", "-c", "true"], capture_output=True, check=False)
    return f"exit code {done.returncode}"


def bare(folder: Path, steps: int) -> list[float]:
    """Nothing is recorded: what the command itself takes."""
    del folder
    taken = []
    for _ in range(steps):
        began = time.perf_counter()
        command()
        taken.append(time.perf_counter() - began)
    return taken


def langgraph(folder: Path, steps: int) -> list[float]:
    """A graph of model and ToolNode; durability "sync" writes each checkpoint before the next node."""
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.prebuilt import ToolNode

    taken: list[float] = []
    last = [0.0]

    @tool
    def bash(text: str) -> str:
        """Run a command."""
        del text
        return command()

    def think(state: MessagesState) -> dict[str, Any]:
        now = time.perf_counter()
        number = sum(1 for message in state["messages"] if message.type == "ai")
        if number:
            taken.append(now - last[0])
        last[0] = now
        if number == steps:
            return {"messages": [AIMessage("done")]}
        call = {"name": "bash", "args": {"text": "true"}, "id": f"c{number}"}
        return {"messages": [AIMessage("", tool_calls=[call])]}

    def more(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_node("tools", ToolNode([bash]))
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", more)
    graph.add_edge("tools", "think")
    with SqliteSaver.from_conn_string(str(folder / "langgraph.db")) as saver:
        compiled = graph.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "1"}, "recursion_limit": 2 * steps + 10}
        compiled.invoke({"messages": [("user", "go")]}, config, durability="sync")
    return taken


def dbos(folder: Path, steps: int) -> list[float]:
    """A workflow with one step for the thought and one for the command."""
    from dbos import DBOS

    DBOS(
        config={
            "name": "loop",
            "system_database_url": f"sqlite:///{folder / 'dbos.db'}",
            "log_level": "ERROR",
        }
    )
    taken: list[float] = []

    @DBOS.step()
    def think(number: int) -> dict[str, Any]:
        return {"name": "bash", "args": {"text": "true"}, "id": f"c{number}"}

    @DBOS.step()
    def bash(text: str) -> str:
        del text
        return command()

    @DBOS.workflow()
    def loop() -> int:
        for number in range(steps):
            began = time.perf_counter()
            call = think(number)
            bash(call["args"]["text"])
            taken.append(time.perf_counter() - began)
        return len(taken)

    DBOS.launch()
    loop()
    DBOS.destroy()
    return taken


if __name__ == "__main__":
    run = {"bare": bare, "langgraph": langgraph, "dbos": dbos}[sys.argv[1]]
    print(json.dumps(run(Path(sys.argv[2]), int(sys.argv[3]))))
