"""A real OTLP receiver: an HTTP server that decodes what it is sent and keeps it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Receiver:
    def __init__(self) -> None:
        self.spans: dict[bytes, Any] = {}
        self.schemas: set[str] = set()
        self.services: set[str] = set()
        self.figures: dict[str, Any] = {}
        self.figure_schemas: set[str] = set()
        self.pushes = 0
        self.refuse = 0
        self.refuse_figures = 0
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.services |= {
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.schemas.add(scope.schema_url)
                self.spans |= {one.span_id: one for one in scope.spans}

    def take_figures(self, body: bytes) -> None:
        request = ExportMetricsServiceRequest.FromString(body)
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.figure_schemas.add(scope.schema_url)
                self.figures |= {one.name: one for one in scope.metrics}
        self.pushes += 1

    def figure(self, name: str, **labels: str) -> Any:
        """The newest point of a figure with these labels; None before it was sent."""
        metric = self.figures.get(name)
        if metric is None:
            return None
        for point in getattr(metric, metric.WhichOneof("data")).data_points:
            said = {one.key: one.value.string_value for one in point.attributes}
            if all(said.get(key.replace("__", ".")) == value for key, value in labels.items()):
                return point
        return None

    def named(self, start: str) -> list[Any]:
        return [one for one in self.spans.values() if one.name.startswith(start)]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.headers.append({key.lower(): value for key, value in self.headers.items()})
            figures = self.path == "/v1/metrics"
            if figures:
                refused = receiver.refuse_figures > 0
                receiver.refuse_figures -= refused
            else:
                refused = receiver.refuse > 0
                receiver.refuse -= refused
            self.send_response(400 if refused else 200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            if not refused and figures:
                receiver.take_figures(body)
                self.wfile.write(ExportMetricsServiceResponse().SerializeToString())
            elif not refused:
                receiver.take(body)
                self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
