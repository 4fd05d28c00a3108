"""The estimate against token counts of real vocabularies, recorded for these texts."""

from pathlib import Path

import pytest

from hal9.ripmap.text.token_count import estimate_tokens, token_counter

SAMPLES = Path(__file__).parent / "samples"
# o200k_base, cl100k_base
COUNTED = {
    "sample.c": (127, 126),
    "sample.cpp": (136, 136),
    "sample.cs": (147, 147),
    "sample.go": (120, 123),
    "sample.java": (123, 121),
    "sample.js": (152, 149),
    "sample.kt": (150, 148),
    "sample.md": (38, 38),
    "sample.php": (160, 159),
    "sample.py": (190, 189),
    "sample.rb": (104, 103),
    "sample.rs": (224, 223),
    "sample.rst": (16, 17),
    "sample.scala": (121, 120),
    "sample.sh": (57, 57),
    "sample.ts": (158, 158),
    "sample.tsx": (48, 48),
}


@pytest.mark.parametrize("name", COUNTED)
def test_estimate_is_an_upper_bound_and_not_far_above(name: str) -> None:
    real = max(COUNTED[name])
    estimated = estimate_tokens((SAMPLES / f"{name}.sample").read_text(encoding="utf-8"))
    assert real <= estimated <= 1.6 * real


def test_joined_texts_need_no_more_than_their_parts() -> None:
    parts = ["def f(a):", "    return a", "path/to/file.py", ""]
    whole = estimate_tokens("\n".join(parts))
    assert whole <= sum(estimate_tokens(part + "\n") for part in parts)


def test_auto_never_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    token_counter.cache_clear()
    assert token_counter("auto").name == "estimate"
    token_counter.cache_clear()
