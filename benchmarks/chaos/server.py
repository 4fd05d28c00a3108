"""A model server that answers like a chat endpoint and counts the calls it got."""

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class _Quiet(ThreadingHTTPServer):
    """Who asked may have been killed: that is what is measured here, and no news."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        return


class CountingServer:
    """Answers every chat completion with one file, after a moment; use it with `with`."""

    def __init__(self, file: str, chance: random.Random, *, host: str = "127.0.0.1") -> None:
        self.calls = 0
        self._lock = threading.Lock()
        self._file = file
        self._text = f"Here it is.\n\n`adder.py`\n```python\n{file}```\n"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with outer._lock:
                    outer.calls += 1
                    wait = chance.uniform(0.02, 0.3)
                time.sleep(wait)
                try:
                    self._answer(json.loads(body))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # who asked was killed

            def _answer(self, request: dict[str, Any]) -> None:
                usage = {"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 130}
                if request.get("tools"):
                    call = outer._call(request)
                    message = {"role": "assistant", "content": None, "tool_calls": [call]}
                    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
                    self._send(json.dumps({"choices": [choice], "usage": usage}).encode(), "application/json")
                    return
                if request.get("stream"):
                    delta = {"index": 0, "delta": {"role": "assistant", "content": outer._text}}
                    chunks = [
                        {"choices": [{**delta, "finish_reason": None}]},
                        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                        {"choices": [], "usage": usage},
                    ]
                    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
                    self._send(text.encode(), "text/event-stream")
                    return
                message = {"role": "assistant", "content": outer._text}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self._send(json.dumps({"choices": [choice], "usage": usage}).encode(), "application/json")

            def _send(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = _Quiet((host, 0), Handler)
        self.spec = f"openai:http://{host}:{self._server.server_address[1]}/v1#counting"

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """First the file, then the end: what comes next is read from the conversation, as a model would."""
        turn = sum(message["role"] == "assistant" for message in request["messages"])
        name, arguments = (
            ("write", {"path": "adder.py", "content": self._file})
            if turn == 0
            else ("finish", {"answer": "add is there", "verified": "the check"})
        )
        function = {"name": name, "arguments": json.dumps(arguments)}
        return {"id": f"call-{turn}", "type": "function", "function": function}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
