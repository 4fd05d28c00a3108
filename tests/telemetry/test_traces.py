"""Traces as a collector gets them: one per task, over processes, with all parents right."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import opentelemetry.semconv._incubating.attributes.gen_ai_attributes as conventions
import pytest
from opentelemetry.semconv.schemas import Schemas

from hal9.api.services import Services
from hal9.cluster import Home
from hal9.errors.telemetry import TelemetryExtraMissing, TelemetryUrlInvalid
from hal9.settings import TelemetrySettings
from hal9.signals import Signal, TaskPayload
from hal9.signals.tracing import parse_traceparent, span_id_of, trace_id_of
from hal9.telemetry.exporter import TelemetryExporter, check_telemetry
from hal9.telemetry.spans import CONVENTIONS
from tests.conftest import Script, edit_settings, running_cluster
from tests.support.waiting import eventually
from tests.telemetry.receiver import Receiver, attributes, receiving

ROOT = Path(__file__).parents[2]


async def told(receiver: Receiver, tasks: int) -> None:
    """A task's spans come in one message: when its root is there, all are."""
    async with asyncio.timeout(120):
        while len(receiver.named("invoke_workflow")) < tasks:
            await asyncio.sleep(0.02)


async def test_one_trace_spans_two_processes_and_all_parents_are_right(
    home: Home, workspace: Path, script: Script
) -> None:
    script("adder")
    edit_settings(home, 'enabled: ["*"]', 'enabled: ["l4-strategist", "l3-designer"]')
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with receiving() as receiver:
        settings = TelemetrySettings(otlp_url=receiver.url, headers={"x-key": "k"}, content=True)
        async with running_cluster(home) as (_, cluster), Services(home) as services:
            async with TelemetryExporter(services, settings):
                # The implementing neuron runs as a process of its own, as it would on another host.
                other = subprocess.Popen(
                    [sys.executable, "-m", "hal9", "--home", str(home.root), "neuron", "l2-implementer"],
                    cwd=ROOT, env={**os.environ}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )  # fmt: skip
                try:
                    task_id = await cluster.submit(
                        "Write add(a, b) in adder.py", workspace=workspace, check="python check.py",
                        labels={"traceparent": given},
                    )  # fmt: skip
                    task = await cluster.wait(task_id, timeout_seconds=120)
                    assert task.state == "done", task
                    await told(receiver, 1)
                finally:
                    other.terminate()
                    await asyncio.to_thread(other.wait, 30)
    assert {one.trace_id.hex() for one in receiver.spans.values()} == {"0af7651916cd43dd8448eb211c80319c"}
    names = {one.span_id: one.name for one in receiver.spans.values()}
    found = {one.name: names.get(one.parent_span_id, "") for one in receiver.spans.values()}
    assert found["invoke_agent l4-strategist"] == "invoke_workflow hal9"
    assert found["invoke_agent l3-designer"] == "invoke_agent l4-strategist"
    assert found["invoke_agent l2-implementer"] == "invoke_agent l3-designer"
    calls = {parent for name, parent in found.items() if name.startswith(("chat ", "execute_tool "))}
    assert calls == {"invoke_agent l2-implementer"}
    (root,) = receiver.named("invoke_workflow")
    assert root.parent_span_id.hex() == "b7ad6b7169203331", "the caller's own span"
    assert receiver.services == {"hal9"}
    assert all(one["x-key"] == "k" for one in receiver.headers)


async def test_names_and_attributes_are_those_of_the_conventions(home: Home, script: Script) -> None:
    script("adder")
    with receiving() as receiver:
        async with running_cluster(home) as (_, cluster), Services(home) as services:
            async with TelemetryExporter(services, TelemetrySettings(otlp_url=receiver.url)):
                await cluster.wait(await cluster.submit("A secret objective"), timeout_seconds=180)
                await told(receiver, 1)
        assert receiver.schemas == {f"https://opentelemetry.io/schemas/{CONVENTIONS}"}
        assert receiver.schemas <= {one.value for one in Schemas}, "a published version"
        known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI")}
        operations = {one.value for one in conventions.GenAiOperationNameValues}
        for span in receiver.spans.values():
            said = attributes(span)
            assert {name for name in said if name.startswith("gen_ai.")} <= known
            assert said["gen_ai.operation.name"] in operations
            assert span.name.startswith(f"{said['gen_ai.operation.name']} ")
            assert span.start_time_unix_nano <= span.end_time_unix_nano
        assert "secret" not in str(receiver.spans), "content goes along only when asked for"
        assert all(attributes(one)["gen_ai.request.model"] for one in receiver.named("chat"))
        assert receiver.named("chat")


async def test_what_the_collector_did_not_take_is_sent_later_also_after_a_restart(
    home: Home, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hal9.telemetry.exporter._RETRY_SECONDS", 0.01)
    script("adder")
    with receiving() as receiver:
        settings = TelemetrySettings(otlp_url=receiver.url)
        async with running_cluster(home) as (_, cluster):
            receiver.refuse = 3
            async with Services(home) as services, TelemetryExporter(services, settings):
                await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
                await told(receiver, 1)
                assert receiver.refuse == 0
            await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
            async with Services(home) as services, TelemetryExporter(services, settings):
                await told(receiver, 2)


async def test_what_ended_after_a_start_that_sent_nothing_is_sent_by_the_next(
    home: Home, script: Script
) -> None:
    script("adder")
    with receiving() as receiver:
        settings = TelemetrySettings(otlp_url=receiver.url)
        async with running_cluster(home) as (_, cluster):
            async with Services(home) as services, TelemetryExporter(services, settings):
                mark = services.home.state / "telemetry.json"
                await eventually(mark.exists, "the first start is noted")
            await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
            async with Services(home) as services, TelemetryExporter(services, settings):
                await told(receiver, 1)


def test_what_is_missing_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    check_telemetry(TelemetrySettings())
    with pytest.raises(TelemetryUrlInvalid, match="http"):
        check_telemetry(TelemetrySettings(otlp_url="localhost:4318"))
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TelemetryExtraMissing, match=r"hal9-cluster\[otel\]"):
        check_telemetry(TelemetrySettings(otlp_url="http://localhost:4318"))


def test_a_signal_carries_its_askers_context() -> None:
    payload = TaskPayload(objective="x")
    task_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    first = Signal.create(payload, task_id=task_id, source="book", target="l4", now=1.0)
    second = Signal.create(payload, task_id=task_id, source="l4", target="l3", now=1.0, cause=first)
    trace = trace_id_of(task_id)
    assert trace == task_id.replace("-", "")
    assert parse_traceparent(first.traceparent) == (trace, span_id_of(task_id))
    assert parse_traceparent(second.traceparent) == (trace, span_id_of(first.id))
    for wrong in ("", "00-0-0-01", f"00-{'0' * 32}-b7ad6b7169203331-01", "01-" + first.traceparent[3:]):
        assert parse_traceparent(wrong) is None
    assert len(trace_id_of("t1")) == 32
