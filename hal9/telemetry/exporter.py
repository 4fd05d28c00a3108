"""Sends finished tasks' spans to the user's collector (OTLP over HTTP), each at least once; figures beside.

What was sent is noted beside the journal; after a restart, or while the collector was down, it goes on from
there. Nothing is sent anywhere unless `telemetry.otlp_url` names the place.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from hal9 import __version__
from hal9.api.services import Services
from hal9.errors.telemetry import TelemetryExtraMissing, TelemetryUrlInvalid
from hal9.journal.events import TaskEvent
from hal9.journal.tasks import TERMINAL, get_task, steps_of
from hal9.settings import TelemetrySettings
from hal9.telemetry.metrics_sender import MetricsSender
from hal9.telemetry.spans import CONVENTIONS, SpanRecord, spans_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["TelemetryExporter", "check_telemetry"]

_log = logging.getLogger("hal9.telemetry")
_RETRY_SECONDS = 5.0


def check_telemetry(settings: TelemetrySettings) -> None:
    """Find out before anything starts whether traces and figures can be sent.

    Raises:
        TelemetryExtraMissing, TelemetryUrlInvalid.
    """
    if settings.otlp_url is None:
        return
    parts = urlsplit(settings.otlp_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise TelemetryUrlInvalid(url=settings.otlp_url)
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: F401, PLC0415 - only asked for
    except ImportError as error:
        raise TelemetryExtraMissing(library=error.name or "opentelemetry") from error


class TelemetryExporter:
    """Follows the journal and sends; use it with `async with`.

    Args:
        services: events and the journal.
        settings: where to, and whether with content.

    Raises:
        TelemetryExtraMissing, TelemetryUrlInvalid: on entering.
    """

    def __init__(self, services: Services, settings: TelemetrySettings) -> None:
        self._services = services
        self._settings = settings
        self._mark = services.home.state / "telemetry.json"
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._exporter: Any = None
        self._metrics: MetricsSender | None = None
        self.sent = 0

    async def __aenter__(self) -> Self:
        check_telemetry(self._settings)
        await self._group.__aenter__()
        if self._settings.otlp_url is not None:
            self._exporter = _open(self._settings)
            self._tasks.append(self._group.create_task(self._run(), name="telemetry"))
            if self._settings.metrics_seconds is not None:
                self._metrics = MetricsSender(self._services, self._settings)
                self._tasks += [
                    self._group.create_task(self._metrics.run(), name="telemetry figures"),
                    self._group.create_task(self._metrics.listen(), name="telemetry model calls"),
                ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(exc_type, exc, traceback)
        if self._metrics is not None:
            await self._metrics.close()
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.shutdown)

    async def _run(self) -> None:
        hub = self._services.hub
        while not hub.closed:
            async with hub.listen(after=self._read_mark()) as items:
                async for item in items:
                    if isinstance(item, TaskEvent) and item.state in TERMINAL:
                        await self._send(item)

    def _read_mark(self) -> int:
        try:
            return int(json.loads(self._mark.read_text(encoding="utf-8"))["after"])
        except (OSError, ValueError, KeyError, TypeError):
            # Noted at once: what ends after this is sent, even if this process ends before it sent anything.
            self._write_mark(self._services.hub.last)
            return self._services.hub.last

    def _write_mark(self, after: int) -> None:
        self._mark.write_text(json.dumps({"after": after}), encoding="utf-8")

    async def _send(self, event: TaskEvent) -> None:
        task, steps = await self._services.cluster.read(
            lambda connection: (get_task(connection, event.task_id), steps_of(connection, event.task_id))
        )
        if task is not None:
            spans = spans_of(task, steps, content=self._settings.content)
            while not await asyncio.to_thread(self._export, spans):
                _log.warning("%s takes no traces; trying again", self._settings.otlp_url)
                await asyncio.sleep(_RETRY_SECONDS)
            self.sent += len(spans)
        await asyncio.to_thread(self._write_mark, event.seq)

    def _export(self, spans: Sequence[SpanRecord]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - an extra

        service = self._settings.service_name
        result = self._exporter.export([_readable(one, service) for one in spans])
        return bool(result is SpanExportResult.SUCCESS)


def _open(settings: TelemetrySettings) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )

    base = (settings.otlp_url or "").rstrip("/")
    endpoint = base if base.endswith("/v1/traces") else f"{base}/v1/traces"
    return OTLPSpanExporter(endpoint=endpoint, headers=dict(settings.headers), timeout=10)


def _readable(span: SpanRecord, service: str) -> "ReadableSpan":
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415 - an extra
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags  # noqa: PLC0415

    def context(span_id: str) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        resource=Resource({"service.name": service, "service.version": __version__}),
        attributes=span.attributes,
        kind={"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}[span.kind],
        status=Status(StatusCode.ERROR, span.failed) if span.failed else Status(StatusCode.UNSET),
        start_time=int(span.start * 1e9),
        end_time=int(max(span.start, span.end) * 1e9),
        instrumentation_scope=InstrumentationScope(
            "hal9", __version__, f"https://opentelemetry.io/schemas/{CONVENTIONS}"
        ),
    )
