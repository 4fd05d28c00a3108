#!/usr/bin/env bash
# opentelemetry-exporter-otlp-proto-http 1.45.2 with protobuf 7.36.2: one gauge that observes True empties every push.
#
# Expected: True is an int in Python and the API takes it without a word, so a gauge "connected" is sent as 1; or that one
#           point is left out; or flushing says that it failed.
# Seen:     nothing at all arrives, counters of other instruments included; each push is dropped before it is sent, one line
#           is logged, and force_flush() returns True. The same value as a span's attribute is sent.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 protobuf==7.36.2 2>/dev/null
cat > "$folder/try.py" <<'PY'
import gzip
import http.server
import logging
import sys
import threading
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

logging.disable(logging.CRITICAL)
arrived = set()


class Receiver(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        sent = ExportMetricsServiceRequest.FromString(body)
        for resource in sent.resource_metrics:
            for scope in resource.scope_metrics:
                arrived.update(metric.name for metric in scope.metrics)
        self.send_response(200)
        self.end_headers()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"


def push(value):
    """Names that arrive, and what flushing says, when the gauge observes the value."""
    arrived.clear()
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(url), export_interval_millis=3_600_000)
    provider = MeterProvider([reader])
    meter = provider.get_meter("example")
    meter.create_counter("requests").add(5)
    meter.create_observable_gauge("connected", callbacks=[lambda _options: [Observation(value)]])
    said = provider.force_flush()
    found = sorted(arrived)
    provider.shutdown()
    return found, said


print("opentelemetry-sdk", version("opentelemetry-sdk"), "protobuf", version("protobuf"))
seen = {}
for value in (1, 1.0, True):
    seen[repr(value)] = push(value)
    print(f"gauge observes {value!r}: arrived {seen[repr(value)][0]}, force_flush() said {seen[repr(value)][1]}")
both = ["connected", "requests"]
sys.exit(0 if seen == {"1": (both, True), "1.0": (both, True), "True": ([], True)} else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" && status=0 || status=1
if [ "$status" = 0 ]; then echo "still so: a gauge of True empties the push"; else echo "no longer so"; fi
exit "$status"
