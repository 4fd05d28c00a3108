"""Encrypted connections to an external broker: mosquitto with a private certificate authority."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from hal9.bus import BrokerAddress, MqttBus
from hal9.errors.bus import BrokerUnreachable
from tests.bus.harness import free_port, mosquitto_missing

pytestmark = pytest.mark.mosquitto


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for this machine, which is its own authority."""
    key, cert = directory / f"{name}.key", directory / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


async def test_tls_with_a_ca_file_and_not_without_it(tmp_path: Path) -> None:
    if mosquitto_missing() or shutil.which("openssl") is None:
        pytest.skip("mosquitto or openssl is not installed")
    key, cert = await asyncio.to_thread(certificate, tmp_path, "broker")
    _, other = await asyncio.to_thread(certificate, tmp_path, "other")
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nuser root\nallow_anonymous true\ncertfile {cert}\nkeyfile {key}\n"
    )
    process = subprocess.Popen(
        ["mosquitto", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        trusted = BrokerAddress.from_url(f"mqtts://127.0.0.1:{port}", ca_file=cert)
        async with MqttBus(trusted, client_id="trusts") as bus:
            await bus.wait_connected(10)
            await bus.subscribe("hal9/test/in/x/+/+")
            await bus.publish("hal9/test/in/x/task/y", b"secret" * 20_000, qos=1)
            async with asyncio.timeout(120):
                message = (await bus.receive(1))[0]
            message.ack()
            assert message.payload == b"secret" * 20_000
        for address in (
            BrokerAddress.from_url(f"mqtts://127.0.0.1:{port}", ca_file=other),
            BrokerAddress.from_url(f"mqtts://127.0.0.1:{port}"),
        ):
            async with MqttBus(address, client_id="mistrusts") as bus:
                with pytest.raises(BrokerUnreachable, match=r"(?i)certificate"):
                    await bus.wait_connected(0.8)
    finally:
        process.terminate()
        process.wait(10)
