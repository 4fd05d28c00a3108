"""Buttons of the pages, without a browser: what a session may not do is refused."""

from pathlib import Path

import httpx

from hal9.api.server import ApiServer
from hal9.api.services import COOKIE
from hal9.cluster import Home
from hal9.dashboard.app import dashboard
from tests.conftest import Script, running_cluster


async def test_a_task_is_tried_again_only_where_the_settings_allow(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    async with running_cluster(home) as (_, cluster), ApiServer(home, more=dashboard) as server:
        # A folder whose name is like that of an upload is none.
        folder = workspace / "uploads" / "mine"
        folder.mkdir(parents=True)
        task_id = await cluster.submit("Say hello", workspace=folder)
        await cluster.wait(task_id, timeout_seconds=180)
        session = {COOKIE: server.services.tokens.create("page", ("read", "submit"))[1]}
        async with httpx.AsyncClient(
            base_url=server.url, cookies=session, headers={"Origin": server.url}, timeout=60.0
        ) as browser:
            page = await browser.post(f"/tasks/{task_id}/retry")
        assert (page.status_code, "problem=" in page.headers["location"]) == (303, True), page.headers
        assert len(await cluster.tasks(limit=10)) == 1, "no task began"
