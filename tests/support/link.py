"""A network cable in user space: two TAP devices and a process that carries every frame between them.

Run as a program: `python link.py NEAR FAR NAMESPACE CONTROL`. NEAR stays here, FAR is moved into the namespace as
eth0. The file CONTROL holds two numbers, how long a frame from FAR takes (seconds) and which share of all
frames is lost; it is looked at again every tenth of a second. Prints "up" once the devices are there.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

_SET_DEVICE, _TAP_WITHOUT_HEADER = 0x400454CA, 0x0002 | 0x1000


def device(name: str) -> int:
    made = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(made, _SET_DEVICE, struct.pack("16sH22x", name.encode(), _TAP_WITHOUT_HEADER))
    return made


def carry(near: int, far: int, control: Path) -> None:
    chance = random.Random(7)
    waiting: list[tuple[float, int, int, bytes]] = []
    delay = loss = looked = 0.0
    number = 0
    while True:
        now = time.monotonic()
        if now - looked > 0.1:
            looked = now
            text = control.read_text().split()
            if len(text) == 2:  # not in the middle of being written
                delay, loss = float(text[0]), float(text[1])
        while waiting and waiting[0][0] <= now:
            _, _, into, frame = heapq.heappop(waiting)
            send(into, frame)
        pause = 0.1 if not waiting else min(0.1, max(0.0, waiting[0][0] - now))
        for one in select.select((near, far), (), (), pause)[0]:
            frame = os.read(one, 65536)
            if loss and chance.random() < loss:
                continue
            number += 1
            into, later = (far, 0.0) if one == near else (near, delay)
            heapq.heappush(waiting, (time.monotonic() + later, number, into, frame))


def send(into: int, frame: bytes) -> None:
    try:
        os.write(into, frame)
    except OSError:  # the device is down, or its queue is full: a frame is lost, as on any cable
        return


if __name__ == "__main__":
    here, there, namespace, control_file = sys.argv[1:]
    ends = device(here), device(there)
    subprocess.run(["ip", "link", "set", there, "netns", namespace, "name", "eth0"], check=True)
    print("up", flush=True)
    carry(*ends, Path(control_file))
