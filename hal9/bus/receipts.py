"""End-to-end receipts: telling senders that their signals are in our journal."""

import asyncio

from hal9.bus import topics
from hal9.bus.contracts import CourierContext
from hal9.errors.bus import BrokerUnreachable
from hal9.journal.failpoints import failpoint
from hal9.signals import AckPayload, Signal, encode

__all__ = ["Receipts"]

_IDS_PER_ACK = 500


class Receipts:
    """Gathers receipts to one peer for a moment and sends them together.

    Args:
        context: what the courier's parts share; its settings say how long a moment is.
    """

    def __init__(self, context: CourierContext) -> None:
        self._bus = context.bus
        self._cluster = context.cluster
        self._clock = context.clock
        self._delay = context.settings.ack_delay
        self._gathered: dict[tuple[str, str], list[str]] = {}
        self._wake = asyncio.Event()

    def confirm(self, signal_id: str, *, source: str, target: str) -> None:
        """Tell `source` that its signal to `target` is in our journal."""
        self._gathered.setdefault((source, target), []).append(signal_id)
        if not self._wake.is_set():
            self._wake.set()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(self._delay)
            await self.flush()

    async def flush(self) -> None:
        """Send what is gathered; a receipt that cannot be sent is asked for again by the resend."""
        self._wake.clear()
        gathered, self._gathered = self._gathered, {}
        now = self._clock.now()
        for (peer, own), ids in gathered.items():
            topic = topics.inbox(self._cluster, peer, "ack", own)
            for start in range(0, len(ids), _IDS_PER_ACK):
                payload = AckPayload(ids=ids[start : start + _IDS_PER_ACK])
                signal = Signal.create(payload, task_id="-", source=own, target=peer, now=now)
                try:
                    await self._bus.publish(topic, encode(signal), qos=1, confirm=False)
                except BrokerUnreachable:
                    return
                failpoint("e2e-acked")
