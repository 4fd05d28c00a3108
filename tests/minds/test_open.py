"""Spec strings, the default, the stack, scripted minds and the room's public face."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import hal9.minds
from hal9.errors.minds import ModelMissing, ModelUnknown, RuntimeMissing, ScriptExhausted, UnknownMind
from hal9.minds import (
    LocalMind,
    Message,
    MindSettings,
    Reply,
    Request,
    ScriptedMind,
    Usage,
    default_model,
    default_spec,
    find_model,
    models_folder,
    open_mind,
)
from hal9.minds.local.models import models

ASK = Request((Message("user", "hello"),))
SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("local", f"local:{default_model()}"),
        ("local:qwen2.5-coder-1.5b", "local:qwen2.5-coder-1.5b"),
        ("local:/models/my.gguf", "local:/models/my.gguf"),
        ("openai:http://127.0.0.1:1/v1#m", "openai:http://127.0.0.1:1/v1#m"),
        ("litellm:anthropic/some-model", "litellm:anthropic/some-model"),
        ("anthropic/some-model", "litellm:anthropic/some-model"),
        ("openrouter/qwen/some-model:free", "litellm:openrouter/qwen/some-model:free"),
        ("agent:claude", "agent:claude"),
        ("scripted:tests.minds.scripts:REPLIES", "scripted:tests.minds.scripts:REPLIES"),
        ("scripted:tests.minds.scripts:MIND", "by-hand"),
    ],
)
def test_a_spec_names_a_mind(spec: str, name: str) -> None:
    assert open_mind(spec).name == name


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("lokal", "local"),
        ("locale:qwen", "local"),
        ("agent:claud", "agent:claude"),
        ("agent:", "agent:"),
        ("openai:http://127.0.0.1:1/v1", "openai:http://HOST:PORT/v1#MODEL"),
        ("openai:gpt", "openai:http://HOST:PORT/v1#MODEL"),
        ("litellm:", "litellm:PROVIDER/MODEL"),
        ("replay:/no/such/file.jsonl", "replay:FILE"),
        ("scripted:no.such.module:x", "scripted:MODULE:ATTRIBUTE"),
        ("scripted:tests.minds.scripts:NUMBER", "scripted:MODULE:ATTRIBUTE"),
        ("scripted:tests.minds.scripts:ABSENT", "scripted:MODULE:ATTRIBUTE"),
        ("", "local"),
        ("/models/my.gguf", "local"),
    ],
)
def test_an_unknown_spec_is_told_the_nearest(spec: str, hint: str) -> None:
    with pytest.raises(UnknownMind) as refused:
        open_mind(spec)
    assert any(hint in near for near in refused.value.nearest), refused.value.nearest
    assert refused.value.exit_code == 3


def test_an_unknown_local_model_is_told_the_nearest() -> None:
    with pytest.raises(ModelUnknown, match=r"qwen2\.5-coder-0\.5b"):
        open_mind("local:qwen-coder-0.5b")


@pytest.mark.parametrize(
    ("environment", "spec"),
    [
        ({}, "local"),
        ({"ANTHROPIC_API_KEY": " "}, "local"),
        ({"HAL9_MODEL": "agent:codex", "OPENAI_API_KEY": "k"}, "agent:codex"),
        ({"OPENAI_API_KEY": "k"}, "litellm:openai/"),
        ({"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}, "litellm:anthropic/"),
        ({"GEMINI_API_KEY": "k"}, "litellm:gemini/"),
    ],
)
def test_the_default_follows_the_environment(environment: dict[str, str], spec: str) -> None:
    assert default_spec(environment).startswith(spec)
    open_mind(default_spec(environment))


async def test_a_missing_model_names_the_command_that_fetches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAL9_MODELS", str(tmp_path))
    assert models_folder() == tmp_path
    with pytest.raises(ModelMissing, match=r"hal9 model pull qwen2\.5-coder-0\.5b"):
        async with open_mind("local:qwen2.5-coder-0.5b"):
            pass
    (tmp_path / find_model("qwen2.5-coder-0.5b").file).write_bytes(b"cut short")
    with pytest.raises(ModelMissing):
        async with open_mind("local:qwen2.5-coder-0.5b"):
            pass


async def test_a_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for spec, extra in (("local", r"hal9-cluster\[local\]"), ("litellm:a/b", r"hal9-cluster\[litellm\]")):
        with pytest.raises(RuntimeMissing, match=extra):
            async with open_mind(spec):
                pass


def test_the_catalogue_is_sound() -> None:
    assert find_model(default_model()) in models()
    for model in models():
        assert len(model.sha256) == 64
        assert model.licence
        assert [source.kind for source in model.sources] == ["hub", "wheels"]
        wheels = model.sources[1]
        assert 0 < model.bytes - (wheels.parts - 1) * wheels.part_bytes <= wheels.part_bytes


async def test_scripts_answer_in_order_and_record_what_they_were_asked() -> None:
    async with ScriptedMind(["one", {"a": 2}, Reply("three", "x", Usage())]) as mind:
        texts = [(await mind.think(ASK)).text for _ in range(3)]
        assert texts == ["one", '{"a": 2}', "three"]
        assert mind.requests == [ASK] * 3
        with pytest.raises(ScriptExhausted, match="3 replies"):
            await mind.think(ASK)


async def test_a_script_may_be_a_function_or_raise() -> None:
    async with open_mind("scripted:tests.minds.scripts:echo") as mind:
        pieces: list[str] = []
        assert (await mind.think(ASK, on_token=pieces.append)).text == "HELLO"
        assert pieces == ["HELLO"]

    async def later(_request: Request) -> str:
        return "later"

    assert (await ScriptedMind(later).think(ASK)).text == "later"
    with pytest.raises(RuntimeError, match="as told"):
        await ScriptedMind([RuntimeError("as told")]).think(ASK)


async def test_scripted_replies_are_validated_and_repaired_like_any() -> None:
    request = Request(ASK.messages, schema=SCHEMA)
    reply = await ScriptedMind(["no", {"a": 1}]).think(request)
    assert (reply.parsed, reply.usage.calls) == ({"a": 1}, 2)
    async with open_mind("scripted:tests.minds.scripts:MIND") as mind:
        assert (await mind.think(request)).parsed == {"a": 1}


def test_the_public_face_is_complete() -> None:
    for name in hal9.minds.__all__:
        assert getattr(hal9.minds, name) is not None
    assert sorted(hal9.minds.__all__) == sorted(
        name for names in hal9.minds._HOMES.values() for name in names
    )
    for home, names in hal9.minds._HOMES.items():
        module = importlib.import_module(f"hal9.minds.{home}")
        assert set(names) <= set(module.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hal9.minds.nonsense


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys; from hal9.minds import open_mind; open_mind('local')\n"
        "heavy = {'httpx', 'litellm', 'xllamacpp', 'jsonschema', 'tenacity'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_local_settings_come_from_the_settings() -> None:
    mind = LocalMind(MindSettings().local)
    assert mind.name == f"local:{default_model()}"
    assert mind.server_pid is None
