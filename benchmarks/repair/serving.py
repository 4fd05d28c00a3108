"""A small OpenAI-compatible server around one function, and the form of its replies."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Refusal", "serve"]


class Refusal(Exception):
    """The request is answered with status 400 and these words."""


@contextmanager
def serve(answer: Callable[[dict[str, Any]], dict[str, Any]], model: str) -> Iterator[str]:
    """Serve `answer` (request body to whole reply, streamed where that is asked for); gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stream = bool(body.get("stream"))
            try:
                reply = answer(body)
            except Refusal as error:
                told = {"error": {"message": str(error), "type": "invalid_request_error", "code": None}}
                self._send(400, json.dumps(told).encode(), "application/json")
                return
            data = _streamed(reply) if stream else json.dumps(reply).encode()
            self._send(200, data, "text/event-stream" if stream else "application/json")

        def do_GET(self) -> None:
            data = json.dumps({"object": "list", "data": [{"id": model, "object": "model"}]}).encode()
            self._send(200, data, "application/json")

        def _send(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:  # an agent that was ended does not wait for its answer
                return

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _streamed(reply: dict[str, Any]) -> bytes:
    choice = reply["choices"][0]
    message = dict(choice["message"])
    if message.get("tool_calls"):
        message["tool_calls"] = [{"index": at, **call} for at, call in enumerate(message["tool_calls"])]
    head = {key: reply[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    chunks = [
        {**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]},
        {**head, "choices": [], "usage": reply["usage"]},
    ]
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks) + b"data: [DONE]\n\n"
