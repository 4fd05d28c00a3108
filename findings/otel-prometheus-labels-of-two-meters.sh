#!/usr/bin/env bash
# opentelemetry-exporter-prometheus 0.66b2 (SDK 1.45.2): where two meters have an instrument of one name, values stand under labels that nobody set.
#
# Expected: two libraries count "requests" (semantic conventions ask for equal names), one by route, the other by peer; /metrics shows each
#           with its own labels and the scope that tells them apart. Within one meter that is so.
# Seen:     the first meter's labels serve for all, and the others' values are put into them in alphabetical order: calls to the peer "db" are
#           shown as the route "db", one label too many is cut off, and a label that sorts before "otel_scope_name" takes that one's place.
#           Names that differ only in "." and "_" (cache.hits, cache_hits) do it within one meter. No error; the text is valid, and
#           which labels are right depends on who was made first.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  opentelemetry-exporter-prometheus==0.66b2 opentelemetry-sdk==1.45.2 prometheus_client==0.26.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import sys
from importlib.metadata import version

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
asked = [  # meter, instrument, value, attributes
    ("one_meter", "jobs", 1, {"route": "/a"}),
    ("one_meter", "jobs", 2, {"peer": "db"}),
    ("server", "requests", 3, {"route": "/a"}),
    ("client", "requests", 4, {"peer": "db"}),
    ("worker", "requests", 5, {"peer": "db", "retry": "yes"}),
    ("store", "cache.hits", 6, {"tier": "hot"}),
    ("store", "cache_hits", 7, {"node": "n1"}),
]
for meter, name, value, attributes in asked:
    provider.get_meter(meter).create_counter(name).add(value, attributes)
print("opentelemetry-exporter-prometheus", version("opentelemetry-exporter-prometheus"), "SDK", version("opentelemetry-sdk"))
shown = {
    sample.value: {key: text for key, text in sample.labels.items() if text}
    for family in text_string_to_metric_families(generate_latest(REGISTRY).decode())
    for sample in family.samples
    if sample.name in ("jobs_total", "requests_total", "cache_hits_total")
}
wrong = []
for meter, name, value, attributes in asked:
    expected = {**attributes, "otel_scope_name": meter}
    same = shown[value] == expected
    wrong += [] if same else [value]
    print(f"{value}: {meter} counts {name} by {attributes}: shown with {shown[value]}{'' if same else '  <- wrong'}")
sys.exit(0 if wrong == [4, 5, 7] else "this is no longer so")
PY
"$folder/venv/bin/python" "$folder/try.py"
