"""Pages of long workloads: proposals with reasons, descent, causal graphs; of real records, over a real server."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from hal9.api.server import ApiServer
from hal9.belief.synthetic_problems import peaks
from hal9.cluster import Cluster, Home
from hal9.dashboard.app import dashboard
from hal9.database import open_database
from hal9.trainer.record.run_log import write_json
from tests.belief.support import run_on
from tests.dashboard.runs import bare, episode, garden, recorded, tuned


@asynccontextmanager
async def pages(home: Home) -> AsyncIterator[httpx.AsyncClient]:
    """A server without a cluster, and a client that may read."""
    async with ApiServer(home, more=dashboard) as server:
        token = server.services.tokens.create("reader", ("read",))[1]
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60.0) as client:
            yield client


async def test_proposals_are_shown_with_their_reasons_and_what_came_of_them(home: Home) -> None:
    trial = {"moved": {"weight_path": [1.0, 2.0]}, "params": {}, "ndcg": 0.61, "kept": True,
             "gain": 0.11, "error": 0.02, "won": 7, "lost": 1}  # fmt: skip
    first = episode(
        0, kept=True, trials=[trial], diagnosis="paths <script>mislead</script>",
        proposed_changes={"weight_path": ["increase", "large", "names say most"]},
    )  # fmt: skip
    task_id = await recorded(home, "inner", [first, episode(1, error="the mind said nothing", trials=[])])
    async with pages(home) as client:
        overview = (await client.get("/workloads")).text
        assert f"/workloads/{task_id}" in overview
        page = (await client.get(f"/workloads/{task_id}")).text
    for words in ("weight_path", "increase large", "names say most", "+0.1100 ± 0.0200", "7 cases won, 1 lost",
                  "paths &lt;script&gt;mislead", "the mind said nothing"):  # fmt: skip
        assert words in page, words
    assert page.index("the mind said nothing") < page.index("names say most"), "newest first"


async def test_points_of_a_strategy_are_shown_with_their_figures(home: Home) -> None:
    point = episode(0, candidate={"weight_path": 1.25}, ndcg=0.4, gain=-0.1, error=0.03)
    task_id = await recorded(home, "strategy", [point])
    async with pages(home) as client:
        page = (await client.get(f"/workloads/{task_id}")).text
    assert "-0.1000 ± 0.0300" in page
    assert "1.25" in page


async def test_prompts_stand_below_those_they_were_edited_from(home: Home) -> None:
    def step(number: int, parent: str, child: str, problem: str = "") -> dict[str, Any]:
        edit = {"section": "Policy", "edit_type": "append", "content": f"Rule {number}."}
        proposal = {"hypothesis": f"idea {number}", "edits": [edit]}
        return {"outer_step": number, "parent": parent, "prompt_id": child, "problem": problem,
                "proposal": proposal, "delta": {"ndcg": 0.01 * number, "error": 0.005}}  # fmt: skip

    steps = [step(0, "v1", "v2"), step(1, "v2", "v3"), step(2, "v1", "v1", "no answer")]
    task_id = await recorded(home, "outer", steps, ", steps_outer: 3")
    async with pages(home) as client:
        page = (await client.get(f"/workloads/{task_id}")).text
    tree = page[page.index("Descent") : page.index("Edits of the prompt")]
    assert re.search(r"v1</code>.*<ul.*v2</code>.*<ul.*v3</code> <b>\+0\.0100</b>", tree, re.DOTALL)
    assert "append Policy: Rule 1." in page
    assert "no answer" in page


async def test_a_population_is_drawn_with_all_its_lives(home: Home) -> None:
    population, _ = await run_on(peaks(2, 1, noise=0.05), seed=1, budget=3000)
    lines = [
        {"outer_step": number, **asdict(one), "facts": {key: str(value) if key == "belief" else value
         for key, value in one.facts.items()}}
        for number, one in enumerate(population.log)
    ]  # fmt: skip
    task_id = await recorded(home, "outer", lines, ", steps_outer: 3, topology: population")
    async with pages(home) as client:
        page = (await client.get(f"/workloads/{task_id}")).text
    drawing = page[page.index('<svg class="drawing"') : page.index("What happened")]
    assert len(population.genealogy.births) > 1
    for node in population.genealogy.births:
        assert f">{node}</text>" in drawing


async def test_a_run_without_a_record_and_one_with_a_damaged_one_say_so(home: Home) -> None:
    async with Cluster(home) as cluster:
        fresh = await cluster.submit("run_name: other", workload="ripmap-train")
    task_id = await recorded(home, "inner", [episode(0)])
    log = home.state / "workloads" / "ripmap-train" / "mine" / "scratchpad.json"
    log.write_text(log.read_text().replace("0.5", "0.9"))
    async with pages(home) as client:
        assert "recorded nothing yet" in (await client.get(f"/workloads/{fresh}")).text
        assert "was altered" in (await client.get(f"/workloads/{task_id}")).text
        assert (await client.get("/workloads/nosuchtask")).status_code == 404


async def test_runs_of_the_bare_commands_are_shown_as_those_that_were_tasks(home: Home) -> None:
    points = [
        episode(number, candidate={"weight_path": 1.25}, ndcg=0.4, gain=-0.1, error=0.03)
        | {"best_ndcg": best}
        for number, best in enumerate((0.5, 0.62))
    ]
    folder = bare(home, "strategy", points, name="a & b")
    bare(home, "outer", [], name="a & b")
    async with pages(home) as client:
        page = (await client.get("/workloads")).text
        assert "/workloads/training?run=training/runs/a%20%26%20b" in page
        assert "/workloads/training?run=training-outer/runs/a%20%26%20b" in page
        assert "0.6200" in page
        assert "unfinished" in page
        write_json(folder / "results.json", {"verdict": "no difference <beyond> noise", "reason": "budget"})
        page = (await client.get("/workloads/training", params={"run": "training/runs/a & b"})).text
        for words in ("-0.1000 ± 0.0300", "no difference &lt;beyond&gt; noise", "best NDCG over 2 episodes"):
            assert words in page, words
        for name in ("training/runs/none", "../training/runs/a & b", "/etc", ""):
            answer = await client.get("/workloads/training", params={"run": name})
            assert answer.status_code == 404, name
        (folder / "scratchpad.json").write_text("{")
        assert "scratchpad.json" in (await client.get("/workloads")).text, "a damaged record hides no other"


async def test_a_tuned_prompt_is_shown_with_its_descent_its_ideas_and_its_verdict(home: Home) -> None:
    async with pages(home) as client:
        assert "No prompt was tuned" in (await client.get("/workloads")).text
        result = await tuned(home, name="first")
        page = (await client.get("/workloads")).text
        assert "/workloads/tuning?run=first" in page
        assert result.held_out.told() in page
        page = (await client.get("/workloads/tuning", params={"run": "first"})).text
        assert result.held_out.told() in page
        kept = [one.number for one in result.search.pool]
        drawing = page[page.index('<svg class="drawing"') : page.index('<ul class="tree">')]
        assert len(kept) > 2
        for number in kept:
            assert f">prompt {number}</text>" in drawing
        winner = f"prompt {result.search.winner.number} (the winner)"
        assert winner in page
        tree = page[page.index('<ul class="tree">') : page.index(winner)]
        assert tree.count('<ul class="tree">') - tree.count("</ul>") == len(result.search.winner.lineage)
        assert "Dropped, newest first" in page
        assert "no gain on the failures it was made for" in page
        assert "Always name" in page[page.index("What the winner changed") : page.index("Descent")]
        assert (await client.get("/workloads/tuning", params={"run": "none"})).status_code == 404
        assert (await client.get("/workloads/tuning", params={"run": "../tuning/first"})).status_code == 404


async def test_a_damaged_and_an_older_tuning_run_say_so(home: Home) -> None:
    for name in ("damaged", "older"):
        await tuned(home, name=name)
    (home.state / "tuning" / "damaged" / "run.sqlite").write_bytes(b"no database at all" * 100)
    connection = open_database(home.state / "tuning" / "older" / "run.sqlite")
    connection.execute("DELETE FROM kept WHERE kind IN ('about', 'step', 'result')")
    connection.close()
    async with pages(home) as client:
        page = (await client.get("/workloads")).text
        assert "damaged" in page
        assert "made by an earlier version" in page
        assert (await client.get("/workloads/tuning", params={"run": "older"})).status_code == 200
        assert "is damaged" in (await client.get("/workloads/tuning", params={"run": "damaged"})).text


async def test_a_causal_graph_is_drawn_as_large_as_is_asked_for(home: Home) -> None:
    await garden(home, name="a & b?")
    async with pages(home) as client:
        assert "/workloads/causes?run=a%20%26%20b%3F" in (await client.get("/workloads")).text
        for zoom, times in (("", 1.0), ("2", 2.0), ("1e9", 8.0), ("nan", 1.0), ("-3", 0.25)):
            page = (await client.get("/workloads/causes", params={"run": "a & b?", "zoom": zoom})).text
            found = re.search(r'<svg class="drawing" viewBox="\S+ \S+ (\d+) \d+" width="(\d+)"', page)
            assert found is not None
            assert int(found[2]) == pytest.approx(times * int(found[1]), abs=1), zoom
        assert "wet &lt;b&gt;grass" in page
        assert "<b>grass" not in page
        assert re.search(r'<td class="n">[01]\.\d\d</td>', page), "each edge has its probability in the table"


async def test_a_graph_that_is_not_there_is_a_page_that_says_so(home: Home) -> None:
    async with pages(home) as client:
        assert "No run of HOLOGRAPH" in (await client.get("/workloads")).text
        answer = await client.get("/workloads/causes", params={"run": "none"})
        assert answer.status_code == 404
        await garden(home, name="there")
        answer = await client.get("/workloads/causes", params={"run": "none"})
        assert "there" in answer.text
