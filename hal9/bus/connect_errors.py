"""Why a connection to a broker did not come about, as the typed error that names the remedy."""

import socket
import ssl

from hal9.bus.protocol import BrokerAddress
from hal9.errors.base import BusError
from hal9.errors.bus import (
    BrokerCertificateUntrusted,
    BrokerLoginRefused,
    BrokerNeedsTls,
    BrokerRefused,
    BrokerUnfit,
    BrokerUnreachable,
    BrokerWithoutTls,
)

__all__ = ["connect_error", "refusal", "speaks_tls"]

_PROBE_SECONDS = 3.0
# CONNACK return codes (MQTT 3.1.1, section 3.2.2.3)
_VERSION, _IDENTIFIER, _UNAVAILABLE, _LOGIN, _FORBIDDEN = 1, 2, 3, 4, 5


def refusal(address: BrokerAddress, code: int, text: str) -> BusError:
    """What the broker meant by the return code of its CONNACK."""
    where = str(address)
    if code == _VERSION:
        return BrokerUnfit(address=where, detail="it does not speak MQTT 3.1.1")
    if code == _IDENTIFIER:
        return BrokerRefused(address=where, detail="our client id")
    if code == _UNAVAILABLE:
        return BrokerUnreachable(address=where, detail="it says that it is unavailable")
    if code in (_LOGIN, _FORBIDDEN):
        detail = "wrong user name or password" if code == _LOGIN else "not authorised"
        return BrokerLoginRefused(address=where, detail=detail, user=address.username)
    return BrokerRefused(address=where, detail=text)


def connect_error(address: BrokerAddress, error: BaseException) -> BrokerUnreachable:
    """What stood in the way before the broker could answer; looks at what the client library hid."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    where = str(address)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return BrokerCertificateUntrusted(address=where, detail=cause.verify_message or str(cause))
    if isinstance(cause, ssl.SSLError) or (address.tls and isinstance(cause, ConnectionResetError)):
        return BrokerWithoutTls(address=where, detail=getattr(cause, "reason", None) or str(cause))
    if isinstance(cause, socket.gaierror):
        return BrokerUnreachable(address=where, detail=f"nobody knows the host {address.host!r}")
    if isinstance(cause, ConnectionRefusedError):
        return BrokerUnreachable(address=where, detail="connection refused: nothing listens there")
    if isinstance(cause, TimeoutError) or not str(cause or error):
        return BrokerUnreachable(address=where, detail="it did not answer in MQTT in time")
    return BrokerUnreachable(address=where, detail=str(cause or error))


def speaks_tls(address: BrokerAddress) -> BrokerNeedsTls | None:
    """Whether the port that did not answer our plain CONNECT wants TLS. Blocks for a few seconds at most."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent: only whether somebody answers the handshake
    try:
        with (
            socket.create_connection((address.host, address.port), _PROBE_SECONDS) as raw,
            context.wrap_socket(raw),
        ):
            return BrokerNeedsTls(address=str(address), detail="it answers a TLS handshake")
    except OSError:
        return None
