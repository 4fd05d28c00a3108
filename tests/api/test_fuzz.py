"""The schema tells the truth, and nothing that fits or does not fit it makes the server fail."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from jsonschema import Draft202012Validator

from hal9.api.server import ENDPOINTS, ApiServer
from hal9.cluster import Home


async def test_the_schema_names_every_endpoint_and_is_valid(home: Home) -> None:
    async with ApiServer(home) as server, httpx.AsyncClient(base_url=server.url, timeout=60.0) as http:
        schema = (await http.get("/openapi.json")).json()
    assert {(one.method.lower(), one.path) for one in ENDPOINTS} == {
        (method, path) for path, methods in schema["paths"].items() for method in methods
    }
    for model in schema["components"]["schemas"].values():
        Draft202012Validator.check_schema(model)
    assert "#/$defs" not in str(schema)


@pytest.mark.slow
async def test_no_input_makes_the_server_fail(home: Home, tmp_path: Path) -> None:
    async with ApiServer(home) as server:
        token = server.services.tokens.create("fuzz", ("admin",))[1]
        command = [
            Path(sys.executable).parent / "schemathesis", "run", f"{server.url}/openapi.json",
            "-H", f"Authorization: Bearer {token}", "--checks", "not_a_server_error,response_schema_conformance",
            "--max-examples", "25", "--phases", "examples,coverage,fuzzing", "--seed", "9",
            "--exclude-path-regex", "events$", "--request-timeout", "60",
        ]  # fmt: skip
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [str(one) for one in command], capture_output=True, text=True, cwd=tmp_path, timeout=900
            )
        )
    assert done.returncode == 0, done.stdout[-6000:]
