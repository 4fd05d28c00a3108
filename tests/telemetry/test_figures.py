"""Figures as a collector gets them: the same as on /metrics, and the conventions' own histograms."""

import asyncio
from collections.abc import Callable

import opentelemetry.semconv._incubating.metrics.gen_ai_metrics as conventions
import pytest

from hal9.api.metrics import gather_metrics, metrics_text
from hal9.api.services import Services
from hal9.cluster import Home
from hal9.settings import TelemetrySettings
from hal9.telemetry.exporter import TelemetryExporter
from hal9.telemetry.metrics_sender import metrics_endpoint
from tests.conftest import Script, running_cluster
from tests.telemetry.receiver import Receiver, attributes, receiving


async def seen(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not true():
            await asyncio.sleep(0.02)


def value(receiver: Receiver, name: str, **labels: str) -> float | None:
    point = receiver.figure(name, **labels)
    return None if point is None else float(getattr(point, point.WhichOneof("value")))


async def test_figures_come_under_the_names_of_metrics_and_the_conventions(
    home: Home, script: Script
) -> None:
    script("adder")
    with receiving() as receiver:
        settings = TelemetrySettings(otlp_url=receiver.url, metrics_seconds=0.05)
        async with running_cluster(home) as (_, cluster), Services(home) as services:
            async with TelemetryExporter(services, settings):
                task = await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
                assert task.state == "done"
                await seen(lambda: value(receiver, "hal9_tasks", state="done") == 1)
                await seen(lambda: receiver.figure("gen_ai.client.token.usage") is not None)
                await cluster.request("feedback", {"verdict": "accept"}, task_id=task.id)
                await seen(lambda: value(receiver, "hal9_judged_tasks", passed="yes", recalled="no") == 1)
                text = await metrics_text(services)
                shown = await gather_metrics(services)
                steps = await cluster.steps(task.id)
    sent = {name for name in receiver.figures if name.startswith("hal9_")}
    assert sent == {one.name for one in shown if one.samples}
    assert all(f"# TYPE {name} " in text for name in sent)
    assert {"hal9_tokens_total", "hal9_cost_usd_total", "hal9_guards", "hal9_rule_uses"} <= {
        one.name for one in shown
    }
    own = set(receiver.figures) - sent
    assert own == {conventions.GEN_AI_CLIENT_TOKEN_USAGE, conventions.GEN_AI_CLIENT_OPERATION_DURATION}
    called = [one for one in steps if one.mind and one.tally.calls]
    points = receiver.figures["gen_ai.client.token.usage"].histogram.data_points
    for kind in ("input", "output"):
        of_kind = [one for one in points if attributes(one)["gen_ai.token.type"] == kind]
        assert sum(one.count for one in of_kind) == len(called) > 0
    assert {attributes(one)["gen_ai.operation.name"] for one in points} == {"chat"}
    assert receiver.figures["gen_ai.client.operation.duration"].unit == "s"
    assert receiver.figures["hal9_tokens_total"].sum.is_monotonic
    assert receiver.figure_schemas == receiver.schemas


async def test_what_the_collector_refused_is_told_once_and_the_next_figures_say_all(
    home: Home, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script("adder")
    with receiving() as receiver:
        receiver.refuse_figures = 3
        settings = TelemetrySettings(otlp_url=receiver.url, metrics_seconds=0.02)
        async with Services(home) as services, TelemetryExporter(services, settings):
            await seen(lambda: receiver.pushes > 1)
    assert receiver.refuse_figures == 0
    assert value(receiver, "hal9_tasks", state="done") == 0
    told = [one for one in caplog.records if one.name == "hal9.telemetry" and "figures" in one.message]
    assert len(told) == 1
    assert "/v1/metrics takes no figures" in told[0].message


async def test_traces_can_be_sent_without_figures(home: Home, script: Script) -> None:
    script("adder")
    with receiving() as receiver:
        settings = TelemetrySettings(otlp_url=receiver.url, metrics_seconds=None)
        async with running_cluster(home) as (_, cluster), Services(home) as services:
            async with TelemetryExporter(services, settings):
                await cluster.wait(await cluster.submit("Say hello"), timeout_seconds=180)
                await seen(lambda: bool(receiver.spans))
    assert receiver.pushes == 0


def test_figures_go_beside_the_traces() -> None:
    assert metrics_endpoint("http://c:4318/") == "http://c:4318/v1/metrics"
    assert metrics_endpoint("http://c:4318/v1/traces") == "http://c:4318/v1/metrics"
