from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.bus import BrokerAddress, topics
from hal9.errors.bus import BrokerAddressInvalid, BrokerInsecure, BrokerUnreachable, TopicInvalid
from tests.bus.harness import free_port


def test_urls_are_read() -> None:
    address = BrokerAddress.from_url("mqtts://user:p%40ss@broker.example:8884", ca_file=Path("ca.pem"))
    assert (address.host, address.port, address.username, address.password, address.tls) == (
        "broker.example",
        8884,
        "user",
        "p@ss",
        True,
    )
    assert str(address) == "mqtts://broker.example:8884"
    assert "p@ss" not in repr(address)
    assert BrokerAddress.from_url("mqtt://localhost").port == 1883
    assert BrokerAddress.from_url("mqtts://localhost").port == 8883


@pytest.mark.parametrize(
    "url", ["http://x", "mqtt://", "mqtt://x/path", "mqtt://x:99999", "x:1883", "mqtt://x?y=1"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(BrokerAddressInvalid):
        BrokerAddress.from_url(url)


def test_a_password_in_a_bad_url_is_not_repeated() -> None:
    with pytest.raises(BrokerAddressInvalid) as caught:
        BrokerAddress.from_url("http://user:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_needs_no_encryption(host: str) -> None:
    BrokerAddress(host=host, port=1883).check()


@pytest.mark.parametrize("host", ["192.0.2.7", "broker.example", "0.0.0.0"])
def test_another_machine_does_unless_allowed(host: str) -> None:
    with pytest.raises(BrokerInsecure):
        BrokerAddress(host=host, port=1883).check()
    BrokerAddress(host=host, port=1883, allow_insecure=True).check()
    BrokerAddress(host=host, port=8883, tls=True).check()


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BrokerAddressInvalid, match=r"ca\.pem"):
        BrokerAddress(host="x", port=1, tls=True, ca_file=tmp_path / "ca.pem").tls_context()


async def test_nobody_there_is_said_with_the_address() -> None:
    from hal9.bus import MqttBus

    async with MqttBus(BrokerAddress(host="127.0.0.1", port=free_port()), client_id="x") as bus:
        with pytest.raises(BrokerUnreachable, match=r"mqtt://127\.0\.0\.1"):
            await bus.wait_connected(0.5)


NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64)


@given(NAMES, NAMES, NAMES, NAMES)
def test_topics_come_apart_as_they_were_built(cluster: str, target: str, kind: str, source: str) -> None:
    topic = topics.inbox(cluster, target, kind, source)
    assert topics.parse_inbox(topic) == (cluster, target, kind, source)
    assert topics.matches(topics.inbox_filter(cluster, target), topic)
    assert topics.parse_status(topics.status(cluster, source)) == source
    assert topics.parse_event(topics.event(cluster, source, target)) == (source, target)


@given(st.text(max_size=70))
def test_only_names_of_our_alphabet_pass(text: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    if 1 <= len(text) <= 64 and set(text) <= allowed:
        assert topics.check_name(text) == text
    else:
        with pytest.raises(TopicInvalid):
            topics.check_name(text)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "hal9",
        "hal9/c/in/a/b",
        "hal9/c/in/a/b/c/d",
        "other/c/in/a/b/c",
        "hal9/c/st/a/b/c",
        "hal9/c/in/A/b/c",
    ],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(TopicInvalid):
        topics.parse_inbox(topic)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/d", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("#", "$SYS/x", False),
        ("a/b", "a/b", True),
    ],
)
def test_filters_match_as_the_standard_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert topics.matches(topic_filter, topic) is expected
