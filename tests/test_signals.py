"""The envelope: what goes over the wire comes back, and what must be refused is refused by name."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal9.errors.signals import SignalInvalid, SignalRefused
from hal9.signals import (
    ERROR_TYPES,
    MAX_SIGNAL_BYTES,
    ErrorGradient,
    IncorrectOutput,
    Signal,
    TaskPayload,
    decode,
    encode,
    new_id,
)

NOW = 1_800_000_000.0


def make(objective: str = "do it") -> Signal:
    return Signal.create(TaskPayload(objective=objective), task_id="t", source="a", target="b", now=NOW)


@given(st.text(min_size=1, max_size=500))
def test_what_is_sent_is_what_arrives(objective: str) -> None:
    signal = make(objective)
    assert decode(encode(signal), now=NOW) == signal


def test_ids_sort_by_time_and_are_version_7() -> None:
    ids = [new_id(now=NOW + step) for step in range(50)]
    assert ids == sorted(ids)
    assert all(identifier[14] == "7" and identifier[19] in "89ab" for identifier in ids)
    assert len({new_id(now=NOW) for _ in range(1000)}) == 1000


def test_a_gradient_keeps_the_fields_of_its_error_type() -> None:
    gradient = ErrorGradient(
        error_type=IncorrectOutput(expected="4", actual="5"),
        magnitude=0.7,
        source_neuron="l2",
        target_neuron="l3",
        timestamp=NOW,
    )
    signal = Signal.create(gradient, task_id="t", source="l2", target="l3", now=NOW)
    assert signal.direction == "backward"
    again = decode(encode(signal), now=NOW).payload
    assert isinstance(again, ErrorGradient)
    assert again.error_type == IncorrectOutput(expected="4", actual="5")
    assert again.error_type.type in ERROR_TYPES


def changed(**fields: object) -> bytes:
    value = json.loads(encode(make()))
    value.update(fields)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad_json"),
        (b"\x00\xff\xfe", "bad_json"),
        (b'{"v": 1', "bad_json"),
        (b"[]", "bad_shape"),
        (b'{"v": 1}', "bad_shape"),
        (b'{"v": 99}', "unknown_version"),
        (changed(v=2), "unknown_version"),
        (changed(payload={"kind": "telepathy"}), "unknown_kind"),
        (changed(payload={"kind": "task"}), "bad_shape"),
        (changed(surprise=1), "bad_shape"),
        (changed(expires_at=NOW - 5), "expired"),
        (changed(hops=65), "over_hopped"),
        (b" " * (MAX_SIGNAL_BYTES + 1), "oversize"),
    ],
)
def test_refusals_have_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(SignalRefused) as caught:
        decode(data, now=NOW)
    assert caught.value.reason == reason
    assert reason in str(caught.value) or reason in ("oversize", "expired", "over_hopped")


@pytest.mark.parametrize(
    ("source", "target", "kind"), [("c", None, None), (None, "c", None), (None, None, "result")]
)
def test_a_claim_that_differs_from_the_topic_is_forged(
    source: str | None, target: str | None, kind: str | None
) -> None:
    with pytest.raises(SignalRefused) as caught:
        decode(encode(make()), now=NOW, source=source, target=target, kind=kind)
    assert caught.value.reason == "forged"


def test_an_oversize_signal_is_not_sent() -> None:
    with pytest.raises(SignalRefused, match="by reference"):
        encode(make("x" * MAX_SIGNAL_BYTES))


@given(st.binary(max_size=300))
def test_garbage_never_does_worse_than_a_refusal(data: bytes) -> None:
    with pytest.raises(SignalRefused):
        decode(data, now=time.time())


def test_a_hop_is_counted_with_every_cause() -> None:
    first = make()
    second = Signal.create(
        TaskPayload(objective="x"), task_id="t", source="b", target="c", now=NOW, cause=first
    )
    assert (second.hops, second.cause_id) == (1, first.id)


def test_errors_survive_pickling() -> None:
    import pickle

    error = SignalInvalid(signal_id="1", reason="bad_json", detail="x")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (SignalInvalid, str(error))
