"""A neuron that answers questions about a database; it tries its query before it answers."""

import sqlite3

from hal9 import Neuron, Workspace, tool


@tool(permission="read")
def schema(folder: Workspace) -> list[str]:
    """The statements that made the tables of shop.db."""
    with sqlite3.connect(f"file:{folder / 'shop.db'}?mode=ro", uri=True) as connection:
        return [row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]


@tool(permission="read")
def query(sql: str, folder: Workspace) -> list[tuple[object, ...]]:
    """Run one SELECT on shop.db; shows its first 20 rows. Nothing can be changed."""
    with sqlite3.connect(f"file:{folder / 'shop.db'}?mode=ro", uri=True) as connection:
        return connection.execute(sql).fetchmany(20)


neuron = Neuron(
    name="l2-sql",
    description="answers questions about a database with SQL queries",
    files=("*.sql", "*.db"),
    tools=["read", schema, query],
    prompt="""
## Role

You answer questions about shop.db with SQL.

## Policy

- Look at the schema first.
- Try every query before you give it.
- Give the query and what it found.
""",
)
