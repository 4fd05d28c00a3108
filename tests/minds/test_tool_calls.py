"""Tool calls: over the wire whole and in pieces, in constrained JSON, in text; mistakes are told, not raised."""

import json
from pathlib import Path
from typing import Any

import pytest

from hal9.minds import (
    Capabilities,
    LocalSettings,
    Message,
    MindSettings,
    Reply,
    Request,
    RetryPolicy,
    ScriptedMind,
    ToolCall,
    ToolSpec,
    Usage,
    open_mind,
)
from hal9.minds.prices import bound_request
from hal9.minds.schema import problems
from hal9.minds.tool_translation import call_schema, translated
from tests.minds.fake_openai import Behaviour, FakeOpenAI, Handler, fails, says

BASH = ToolSpec(
    "bash",
    "Run one command.",
    {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
)
READ = ToolSpec(
    "read",
    "Read lines of a file.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "first": {"type": "integer", "minimum": 1}},
        "required": ["path", "first"],
        "additionalProperties": False,
    },
)
ASK = Request(
    (Message("system", "Be brief."), Message("user", "Look around.")),
    tools=(BASH, READ),
    timeout_seconds=60,
    repairs=0,
)


def calls(*made: dict[str, Any], content: str | None = None, **fields: Any) -> Behaviour:
    """Answer with tool calls, as one piece or with every string in pieces of three characters."""

    def behave(handler: Handler) -> None:
        message = {"role": "assistant", "content": content, "tool_calls": list(made), **fields}
        if not handler.server.seen[-1].body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
            handler.send(
                200,
                json.dumps(
                    {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
                ),
            )
            return
        handler.start_stream()
        for index, call in enumerate(made):
            function = call["function"]
            first = {**call, "index": index, "function": {"name": function["name"], "arguments": ""}}
            handler.chunk({"tool_calls": [first]})
            text = function["arguments"]
            for start in range(0, len(text), 3):
                piece = {"index": index, "function": {"arguments": text[start : start + 3]}}
                handler.chunk({"tool_calls": [piece]})
        handler.chunk(fields, "tool_calls")
        handler.event("[DONE]")

    return behave


def call(name: str, arguments: Any, call_id: str | None = "c1", **more: Any) -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    found = {"type": "function", "function": {"name": name, "arguments": text}, **more}
    return found if call_id is None else {"id": call_id, **found}


async def ask(
    server: FakeOpenAI, request: Request = ASK, *, stream: bool = False, spec: str = "openai"
) -> Reply:
    settings = MindSettings(environment={"OPENAI_API_KEY": "sk-test"}, retries=RetryPolicy(attempts=1))
    async with open_mind(f"openai:{server.url}#m", settings=settings) as mind:
        return await mind.think(request, on_token=(lambda _: None) if stream else None)


@pytest.mark.parametrize("stream", [False, True])
async def test_parallel_calls_come_whole_and_in_pieces(stream: bool) -> None:
    made = calls(call("bash", {"command": "ls -l ü"}, "a"), call("read", {"path": "x.py", "first": 3}, "b"))
    with FakeOpenAI(made) as server:
        reply = await ask(server, stream=stream)
    assert [(c.id, c.name, c.arguments, c.problem) for c in reply.tool_calls] == [
        ("a", "bash", {"command": "ls -l ü"}, ""),
        ("b", "read", {"path": "x.py", "first": 3}, ""),
    ]
    assert reply.stop_reason == "tool_calls"
    body = server.seen[0].body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["bash", "read"]
    assert body["tool_choice"] == "auto"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (call("bash", '{"command": "ls'), "not valid JSON"),
        (call("bash", "[1, 2]"), "not a JSON object"),
        (call("bsh", {"command": "ls"}), "there is no tool 'bsh'; the tools are: bash, read"),
        (call("bash", {"cmd": "ls"}), "do not fit"),
        (call("read", {"path": "x", "first": 0}), "less than the minimum"),
        (call("bash", ""), "'command' is a required property"),
    ],
)
async def test_a_mistake_is_told_in_words_and_is_no_exception(
    made: dict[str, Any], problem: str, stream: bool
) -> None:
    with FakeOpenAI(calls(made)) as server:
        reply = await ask(server, stream=stream)
    assert problem in reply.tool_calls[0].problem


async def test_numbers_in_quotes_are_read_and_nothing_else_is_changed() -> None:
    with FakeOpenAI(calls(call("read", {"path": "7", "first": "3"}))) as server:
        reply = await ask(server)
    assert reply.tool_calls[0].arguments == {"path": "7", "first": 3}
    assert reply.tool_calls[0].problem == ""


@pytest.mark.parametrize("stream", [False, True])
async def test_missing_and_repeated_ids_become_unique(stream: bool) -> None:
    ls = {"command": "ls"}
    history = (*ASK.messages, Message("assistant", "", tool_calls=(ToolCall("c1", "bash", ls),)))
    request = Request((*history, Message("tool", "a.py", tool_call_id="c1")), tools=ASK.tools)
    with FakeOpenAI(calls(call("bash", ls, "c1"), call("bash", ls, None))) as server:
        reply = await ask(server, request, stream=stream)
    ids = [c.id for c in reply.tool_calls]
    assert len({"c1", *ids}) == 3


async def test_servers_that_number_every_call_zero_are_understood() -> None:
    def behave(handler: Handler) -> None:
        handler.start_stream()
        for number, name in enumerate(("bash", "read")):
            arguments = {"command": "ls"} if name == "bash" else {"path": "a", "first": 1}
            made = {
                "index": 0,
                "id": f"n{number}",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            handler.chunk({"tool_calls": [made]})
        handler.chunk({}, "tool_calls")
        handler.event("[DONE]")

    with FakeOpenAI(behave) as server:
        reply = await ask(server, stream=True)
    assert [c.name for c in reply.tool_calls] == ["bash", "read"]
    assert all(c.problem == "" for c in reply.tool_calls)


async def test_the_conversation_goes_back_with_what_the_provider_wants() -> None:
    text = '{"command":  "ls"}'
    signature = {"google": {"thought_signature": "abc"}}
    first = calls(call("bash", text, "c9", extra_content=signature), reasoning_content="I look.")
    with FakeOpenAI(first, says("Two files.")) as server:
        reply = await ask(server)
        result = Message("tool", "a.py b.py", tool_call_id="c9")
        done = await ask(server, Request((*ASK.messages, reply.as_message(), result), tools=ASK.tools))
    assert done.text == "Two files."
    assistant, tool = server.seen[1].body["messages"][2:]
    assert assistant["tool_calls"] == [
        {
            "id": "c9",
            "type": "function",
            "function": {"name": "bash", "arguments": text},
            "extra_content": signature,
        }
    ], "byte for byte as it came: prompt caches know it again"
    assert assistant["reasoning_content"] == "I look."
    assert tool == {"role": "tool", "tool_call_id": "c9", "content": "a.py b.py"}
    assert json.loads(json.dumps(reply.echo)) == reply.echo, "it can be journaled"


async def test_another_minds_reasoning_is_not_sent() -> None:
    echo = {"mind": "litellm:other/model", "message": {"reasoning_content": "secret"}, "calls": {}}
    turn = Message("assistant", "", tool_calls=(ToolCall("c1", "bash", {"command": "ls"}),), echo=echo)
    request = Request((*ASK.messages, turn, Message("tool", "x", tool_call_id="c1")), tools=ASK.tools)
    with FakeOpenAI(says("ok")) as server:
        await ask(server, request)
    assert "reasoning_content" not in server.seen[0].body["messages"][2]


async def test_arguments_that_are_no_json_do_not_go_back() -> None:
    with FakeOpenAI(calls(call("bash", '{"command": ')), says("ok")) as server:
        reply = await ask(server)
        result = Message("tool", reply.tool_calls[0].problem, tool_call_id="c1")
        await ask(server, Request((*ASK.messages, reply.as_message(), result), tools=ASK.tools))
    sent = server.seen[1].body["messages"][2]["tool_calls"][0]["function"]["arguments"]
    assert sent == "{}"


@pytest.mark.parametrize(
    "refusal",
    [
        fails(400, "m does not support tools"),
        fails(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
        fails(500, "tools param requires --jinja flag"),
    ],
)
async def test_a_server_without_tools_is_asked_in_json_from_then_on(refusal: Behaviour) -> None:
    wanted = {"thought": "look", "tool": "bash", "arguments": {"command": "ls"}}
    with FakeOpenAI(refusal, says(json.dumps(wanted))) as server:
        settings = MindSettings(environment={}, retries=RetryPolicy(attempts=1))
        async with open_mind(f"openai:{server.url}#m", settings=settings) as mind:
            assert mind.capabilities.tools == "native"
            one = await mind.think(ASK)
            lowered = mind.capabilities
            result = Message("tool", "a.py", tool_call_id=one.tool_calls[0].id)
            two = await mind.think(Request((*ASK.messages, one.as_message(), result), tools=ASK.tools))
    assert lowered == Capabilities(tools="constrained", announces=True)
    assert [c.arguments for c in one.tool_calls] == [{"command": "ls"}]
    assert one.text == "look"
    assert one.tool_calls[0].id != two.tool_calls[0].id
    assert len(server.seen) == 3, "the refusal is remembered"
    assert "tools" not in server.seen[1].body
    assert server.seen[1].body["response_format"]["json_schema"]["schema"] == call_schema(ASK.tools, "auto")
    turns = server.seen[2].body["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "user"]
    assert json.loads(turns[2]["content"]) == wanted
    assert turns[3]["content"] == "Result of bash:\na.py"
    assert turns[0] == server.seen[1].body["messages"][0], "the prompt's beginning stays the same"


async def test_a_call_that_had_to_come_and_did_not_is_asked_for_again() -> None:
    request = Request(ASK.messages, tools=ASK.tools, tool_choice="required", repairs=1)
    with FakeOpenAI(says("I would run ls."), calls(call("bash", {"command": "ls"}))) as server:
        reply = await ask(server, request)
    assert reply.tool_calls[0].name == "bash"
    assert server.seen[0].body["tool_choice"] == "required"


async def test_a_model_that_never_calls_is_asked_in_json_once_it_had_to_and_did_not() -> None:
    """Servers take tools for models that cannot use them; what comes back is plain words."""
    wanted = {"thought": "look", "tool": "bash", "arguments": {"command": "ls"}}
    must = Request(ASK.messages, tools=ASK.tools, tool_choice="required", repairs=2)
    words = says("I would run ls.")
    with FakeOpenAI(words, words, says(json.dumps(wanted)), says(json.dumps(wanted))) as server:
        settings = MindSettings(environment={}, retries=RetryPolicy(attempts=1))
        async with open_mind(f"openai:{server.url}#m", settings=settings) as mind:
            assert (await mind.think(ASK)).text == "I would run ls.", (
                "words are an answer where none must come"
            )
            assert mind.capabilities.tools == "native"
            replies = [await mind.think(must), await mind.think(ASK)]
    assert [reply.tool_calls[0].arguments for reply in replies] == [{"command": "ls"}] * 2
    assert ["tools" in one.body for one in server.seen] == [True, True, False, False]


async def test_a_model_that_does_call_stays_with_its_own_form() -> None:
    must = Request(ASK.messages, tools=ASK.tools, tool_choice="required", repairs=1)
    ls = calls(call("bash", {"command": "ls"}))
    with FakeOpenAI(ls, says("Let me think."), ls) as server:
        settings = MindSettings(environment={}, retries=RetryPolicy(attempts=1))
        async with open_mind(f"openai:{server.url}#m", settings=settings) as mind:
            await mind.think(ASK)
            assert (await mind.think(must)).tool_calls[0].name == "bash"
            assert mind.capabilities.tools == "native"
    assert all("tools" in one.body for one in server.seen)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ('```json\n{"name": "bash", "arguments": {"command": "ls"}}\n```', "bash"),
        ('I look.\n<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>', "bash"),
        ('Such a record looks so: {"name": "alice", "parameters": {"age": 3}}', ""),
        ("Run this:\n\n```bash\nls\n```", ""),
        ('{"answer": "It is 4."}', ""),
    ],
)
async def test_calls_in_the_text_of_the_native_form_are_read_where_they_name_a_tool(
    said: str, named: str
) -> None:
    """As small models behind Ollama and the like write them; all other words stay words."""
    with FakeOpenAI(says(said)) as server:
        reply = await ask(server)
    assert [call.name for call in reply.tool_calls] == ([named] if named else [])
    assert named or reply.text == said


async def test_one_named_tool_is_chosen() -> None:
    request = Request(ASK.messages, tools=ASK.tools, tool_choice="read")
    with FakeOpenAI(calls(call("read", {"path": "a", "first": 1}))) as server:
        await ask(server, request)
    assert server.seen[0].body["tool_choice"] == {"type": "function", "function": {"name": "read"}}
    assert problems({"thought": "", "tool": "bash", "arguments": {}}, call_schema((READ,), "read"))


TEXT = Capabilities(tools="text")


@pytest.mark.parametrize(
    ("said", "expected", "words"),
    [
        (
            "I look.\n\n```bash\nls -l\ncat <<E\nx\nE\n```\nThen I will see.",
            {"command": "ls -l\ncat <<E\nx\nE"},
            "I look.",
        ),
        (
            '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>',
            {"command": "ls"},
            "",
        ),
        (
            '```json\n{"thought": "t", "tool": "bash", "arguments": {"command": "ls"}}\n```',
            {"command": "ls"},
            "t",
        ),
        ('{"thought": "done", "answer": "It is 4."}', None, "It is 4."),
        ("It is 4.", None, "It is 4."),
    ],
)
async def test_calls_are_read_out_of_text(said: str, expected: dict[str, Any] | None, words: str) -> None:
    from hal9.minds.tool_translation import ToolTranslatingMind
    from hal9.minds.valid_replies import answer

    script = ScriptedMind([said], capabilities=TEXT)
    mind = ToolTranslatingMind(script.unvalidated())

    async def once(request: Request, _: Any) -> Reply:
        return await mind.think(request)

    reply = await answer(once, ASK, None, name="x")
    assert [c.arguments for c in reply.tool_calls] == ([] if expected is None else [expected])
    assert reply.text == words
    assert "## bash" in script.requests[0].messages[0].content


async def test_half_a_call_is_no_call() -> None:
    from hal9.minds.tool_translation import ToolTranslatingMind

    cut = Reply(
        '{"tool": "bash", "arguments": {"command": "rm a"}} {"tool', "m", Usage(), stop_reason="length"
    )
    mind = ToolTranslatingMind(ScriptedMind([cut], capabilities=TEXT).unvalidated())
    assert (await mind.think(ASK)).tool_calls == ()


async def test_a_call_before_empty_lines_without_end_is_whole() -> None:
    from hal9.minds.tool_translation import ToolTranslatingMind

    text = '```json\n{"tool": "bash", "arguments": {"command": "ls"}}\n```' + "\n" * 500
    mind = ToolTranslatingMind(
        ScriptedMind([Reply(text, "m", Usage(), stop_reason="length")], capabilities=TEXT).unvalidated()
    )
    reply = await mind.think(ASK)
    assert [call.arguments for call in reply.tool_calls] == [{"command": "ls"}]
    assert reply.stop_reason == "tool_calls"


async def test_a_script_can_call_tools() -> None:
    mind = ScriptedMind([ToolCall("1", "bash", {"command": "ls"}), (ToolCall("2", "bash", {}),)])
    one, two = await mind.think(ASK), await mind.think(ASK)
    assert one.tool_calls == (ToolCall("1", "bash", {"command": "ls"}),)
    assert one.stop_reason == "tool_calls"
    assert "required property" in two.tool_calls[0].problem


async def test_a_recording_keeps_calls_results_and_echo(tmp_path: Path) -> None:
    settings = MindSettings(environment={}, record_to=tmp_path / "r.jsonl")
    with FakeOpenAI(calls(call("bash", {"command": "ls"}), reasoning_content="hm"), says("ok")) as server:
        async with open_mind(f"openai:{server.url}#m", settings=settings) as mind:
            one = await mind.think(ASK)
            more = Request(
                (*ASK.messages, one.as_message(), Message("tool", "a", tool_call_id="c1")), tools=ASK.tools
            )
            two = await mind.think(more)
    async with open_mind(f"replay:{tmp_path / 'r.jsonl'}") as replay:
        again = await replay.think(ASK)
        assert (again.tool_calls, again.echo) == (one.tool_calls, one.echo)
        assert (await replay.think(more)).text == two.text


def test_tools_and_calls_count_in_the_reservation() -> None:
    turn = Message("assistant", "", tool_calls=(ToolCall("c1", "bash", {"command": "x" * 1000}),))
    long = Request((*ASK.messages, turn), tools=ASK.tools)
    assert bound_request(ASK) > bound_request(Request(ASK.messages)) + len(BASH.description)
    assert bound_request(long) > bound_request(ASK) + 1000


def test_a_request_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        Request(ASK.messages, tools=ASK.tools, schema={})
    with pytest.raises(ValueError, match="one name"):
        Request(ASK.messages, tools=(BASH, BASH))
    with pytest.raises(ValueError, match="none of the tools"):
        Request(ASK.messages, tools=ASK.tools, tool_choice="write")


def test_no_tool_is_offered_when_none_may_be_called() -> None:
    sent = translated(Request(ASK.messages, tools=ASK.tools, tool_choice="none"), constrained=True)
    assert sent.schema is None
    assert sent.messages == ASK.messages


@pytest.mark.local_model
async def test_the_local_model_calls_a_tool() -> None:
    settings = MindSettings(environment={}, local=LocalSettings(threads=1, context_tokens=2048, parallel=1))
    request = Request(
        (Message("system", "You work in a folder."), Message("user", "List the files of the folder.")),
        tools=ASK.tools,
        tool_choice="required",
        max_tokens=200,
        temperature=0.0,
    )
    async with open_mind("local", settings=settings) as mind:
        reply = await mind.think(request)
    (made,) = reply.tool_calls
    assert made.problem == ""
    assert made.name in {"bash", "read"}
