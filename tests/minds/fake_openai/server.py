"""A real HTTP server on loopback that speaks the OpenAI chat protocol, and fails in every way one can."""

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Behaviour = Callable[["Handler"], None]


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)


class FakeOpenAI(ThreadingHTTPServer):
    """Answers request n with behaviour n; the last one stays."""

    daemon_threads = True

    def __init__(self, *behaviours: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviours = list(behaviours)
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of these tests."""


class Handler(BaseHTTPRequestHandler):
    server: FakeOpenAI
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        with self.server.lock:
            number = len(self.server.seen)
            headers = {key.lower(): value for key, value in self.headers.items()}
            self.server.seen.append(Seen(self.path, headers, body))
        behaviour = self.server.behaviours[min(number, len(self.server.behaviours) - 1)]
        behaviour(self)

    def send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> None:
        """Stream one chunk."""
        self.event(_chunk(delta, finish))

    def event(self, data: Any) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        self.wfile.write(f"data: {text}\n\n".encode())
        self.wfile.flush()


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}


def says(text: str, *, finish: str = "stop", usage: dict[str, Any] | None = USAGE) -> Behaviour:
    """Answer well, as one piece or as a stream."""

    def behave(handler: Handler) -> None:
        last = handler.server.seen[-1].body
        if not last.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
            handler.send(200, json.dumps({**answer, **({"usage": usage} if usage else {})}))
            return
        handler.start_stream()
        for piece in re.findall(r"\S+\s*", text):
            handler.event(_chunk({"content": piece}, None))
        handler.event(_chunk({}, finish))
        if usage:
            handler.event({**_chunk({}, None), "choices": [], "usage": usage})
        handler.event("[DONE]")

    return behave


def _chunk(delta: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def fails(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: Any) -> Behaviour:
    """Answer with an error status."""
    return lambda handler: handler.send(status, json.dumps({"error": {"message": message, **error}}), headers)


def raw(text: str, status: int = 200) -> Behaviour:
    """Answer with any text."""
    return lambda handler: handler.send(status, text)


def hangs(handler: Handler) -> None:
    """Take the request and say nothing until the test is over."""
    handler.server.closing.wait(30)
    handler.close_connection = True


def resets(handler: Handler) -> None:
    """Close the connection with a TCP reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def truncates(handler: Handler) -> None:
    """Promise more bytes than are sent."""
    handler.send_response(200)
    handler.send_header("content-length", "5000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [{"mess')
    handler.close_connection = True


def cuts_the_stream(handler: Handler) -> None:
    """Stream two pieces and close."""
    handler.start_stream()
    handler.event(_chunk({"content": "half "}, None))
    handler.event(_chunk({"content": "an"}, None))


def errs_in_the_stream(handler: Handler) -> None:
    """Stream a piece, then an error."""
    handler.start_stream()
    handler.event(_chunk({"content": "half "}, None))
    handler.event({"error": {"message": "overloaded"}})
