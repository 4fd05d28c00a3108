"""Why a model stopped, in the words of many servers.

A reply that was cut off at the length limit is gone on with by who asked: `hal9.neurons.turn`, and
`hal9.tools.loop` for turns with tools.
"""

from typing import Any, Literal

from hal9.minds.protocol import StopReason

__all__ = ["Finish", "read_finish"]

Finish = StopReason | Literal["declined", "failed", "absent"]

_WORDS: dict[Finish, frozenset[str]] = {
    "stop": frozenset(
        {"stop", "end_turn", "eos", "eos_token", "stop_sequence", "end", "complete", "completed", "done",
         "finished", "finish", "stop_token", "pause_turn"}
    ),
    "length": frozenset(
        {"length", "max_tokens", "max_output_tokens", "max_new_tokens", "max_length", "model_length",
         "token_limit", "max_completion_tokens", "model_context_window_exceeded", "context_length",
         "context_window", "incomplete", "continuation", "repetition", "repetition_detected", "truncated"}
    ),
    "tool_calls": frozenset({"tool_calls", "tool_call", "tool_use", "function_call"}),
    "declined": frozenset(
        {"content_filter", "content_filtered", "refusal", "safety", "recitation", "blocklist",
         "prohibited_content", "spii", "guardrail_intervened", "image_safety", "sensitive", "moderation"}
    ),
    "failed": frozenset(
        {"error", "abort", "aborted", "failed", "failure", "cancelled", "canceled", "timeout",
         "network_error", "malformed_function_call", "malformed_response", "server_error", "load"}
    ),
}  # fmt: skip
_MEANING = {word: meaning for meaning, words in _WORDS.items() for word in words}


def read_finish(told: Any) -> tuple[Finish, str]:
    """What a finish reason means, and its own word.

    It may come in any case, as the name of an enumeration (``FinishReason.MAX_TOKENS``), in a list, or as an
    object with a type or reason. An unknown word is "other"; none at all, or "unspecified", is "absent".
    """
    if isinstance(told, list):
        return read_finish(told[-1]) if told else ("absent", "")
    if isinstance(told, dict):
        named = next(
            (told[key] for key in ("type", "reason", "name", "finish_reason") if told.get(key)), None
        )
        return read_finish(named)
    if told is None or told == "":
        return "absent", ""
    word = str(told).rsplit(".", 1)[-1].strip().lower().replace("-", "_").replace(" ", "_")
    if word in {"null", "none", "finish_reason_unspecified", "unspecified"}:
        return "absent", ""
    return _MEANING.get(word, "other"), word
