"""Sends the cluster's figures to the user's collector (OTLP over HTTP), every so often.

The same names as on `/metrics`, and two of OpenTelemetry's own: `gen_ai.client.token.usage` and
`gen_ai.client.operation.duration`, histograms over the model calls since this server started. A push that the
collector does not take is lost, and nothing is lost by it: figures are totals, so the next push says more.
"""

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hal9 import __version__
from hal9.api.metrics import Metric, gather_metrics
from hal9.api.services import Services
from hal9.errors.base import Hal9Error
from hal9.journal.events import TaskEvent
from hal9.settings import TelemetrySettings
from hal9.signals import StepRecord
from hal9.telemetry.spans import CONVENTIONS, model_of

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

__all__ = ["MetricsSender", "metrics_endpoint"]

_log = logging.getLogger("hal9.telemetry")
_TIMEOUT_SECONDS = 10.0
_LAST_SECONDS = 3.0
# The boundaries that the conventions name for these two.
_TOKEN_BOUNDS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
_SECOND_BOUNDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]


def metrics_endpoint(otlp_url: str) -> str:
    """Where figures go, beside the traces."""
    return f"{otlp_url.rstrip('/').removesuffix('/v1/traces')}/v1/metrics"


class MetricsSender:
    """Gathers and sends; `run` until cancelled, then `close`.

    Args:
        services: events, journal and memory.
        settings: where to, and how often; both must be set.
    """

    def __init__(self, services: Services, settings: TelemetrySettings) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415 - an extra
            OTLPMetricExporter,
        )
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra

        self._services = services
        self._url = metrics_endpoint(settings.otlp_url or "")
        self._seconds = settings.metrics_seconds or 0.0
        self._exporter = OTLPMetricExporter(
            endpoint=self._url, headers=dict(settings.headers), timeout=_TIMEOUT_SECONDS
        )
        # Read by us and not by a thread of the library's: figures come out of files that are read first.
        self._reader = InMemoryMetricReader()
        self._provider = MeterProvider(
            [self._reader],
            Resource({"service.name": settings.service_name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._meter = self._provider.get_meter(
            "hal9", __version__, f"https://opentelemetry.io/schemas/{CONVENTIONS}"
        )
        self._tokens = self._meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKEN_BOUNDS,
        )
        self._durations = self._meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECOND_BOUNDS,
        )
        self._now: dict[str, Metric] = {}
        self._known: set[str] = set()
        self._pushing = threading.Lock()  # a push that was given up may still be under way
        self._taken: bool | None = None
        self.sent = 0

    async def run(self) -> None:
        """Send at once, and then every so often."""
        while True:
            await self.send()
            await asyncio.sleep(self._seconds)

    async def listen(self) -> None:
        """Note every model call that is recorded from now on."""
        hub = self._services.hub
        after = hub.last
        while not hub.closed:
            async with hub.listen(after=after) as items:
                async for item in items:
                    if isinstance(item, TaskEvent):
                        after = item.seq
                        if item.step is not None:
                            self._count(item.step)

    async def send(self) -> bool:
        """One push; whether the collector took it."""
        try:
            self._observe(await gather_metrics(self._services))
        except Hal9Error as error:
            _log.warning("the figures cannot be read now: %s", error)
            return False
        took = await asyncio.to_thread(self._push)
        if not took and self._taken is not False:
            _log.warning("%s takes no figures; trying again in %g s", self._url, self._seconds)
        self._taken = took
        self.sent += took
        return took

    async def close(self) -> None:
        """The last figures, if the collector still listens, and the end."""
        if self._taken:
            try:
                await asyncio.wait_for(self.send(), _LAST_SECONDS)
            except TimeoutError:
                _log.warning("%s did not take the last figures within %g s", self._url, _LAST_SECONDS)
        await asyncio.to_thread(self._exporter.shutdown)
        await asyncio.to_thread(self._provider.shutdown)

    def _observe(self, metrics: Iterable[Metric]) -> None:
        self._now = {one.name: one for one in metrics}
        for name, metric in self._now.items():
            if name in self._known:
                continue
            self._known.add(name)
            if metric.kind == "counter":
                self._meter.create_observable_counter(name, [self._reading(name)], metric.unit, metric.help)
            else:
                self._meter.create_observable_gauge(name, [self._reading(name)], metric.unit, metric.help)

    def _reading(self, name: str) -> Any:
        from opentelemetry.metrics import Observation  # noqa: PLC0415 - an extra

        def read(_options: "CallbackOptions") -> "list[Observation]":
            metric = self._now.get(name)
            return [Observation(value, labels) for labels, value in metric.samples] if metric else []

        return read

    def _count(self, step: StepRecord) -> None:
        if not step.mind or not step.tally.calls:
            return
        provider, model = model_of(step.mind)
        facts = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": provider,
            "gen_ai.request.model": model,
        }
        self._tokens.record(step.tally.prompt_tokens, {**facts, "gen_ai.token.type": "input"})
        self._tokens.record(step.tally.completion_tokens, {**facts, "gen_ai.token.type": "output"})
        failed = {} if step.outcome == "ok" else {"error.type": step.outcome}
        self._durations.record(step.tally.seconds or step.ended_at - step.started_at, {**facts, **failed})

    def _push(self) -> bool:
        from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415 - an extra

        with self._pushing:
            data = self._reader.get_metrics_data()
            return data is None or self._exporter.export(data) is MetricExportResult.SUCCESS
