"""The child process that holds a local model: `python -m hal9.minds.local.server_process`.

It reads one JSON line of settings from standard input, loads the model into llama.cpp's own HTTP server on a
free port of 127.0.0.1, and answers one JSON line: ``{"ready": address}`` or ``{"failed": kind, "detail":
text}``. Standard input stays open as its lifeline: when it closes, or the parent is gone, the process ends at
once.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
from typing import Any, TextIO

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0


def main() -> int:
    """Serve until the parent is gone."""
    # llama.cpp may print; the answer line needs a channel of its own.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings: dict[str, Any] = json.loads(sys.stdin.readline())
    _die_with_parent(int(settings["parent"]))
    limit = settings.get("memory_limit_bytes")
    if limit is not None:
        import resource  # noqa: PLC0415 - not on every platform

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Spinning threads collapse as soon as anything else wants the core; read when OpenMP is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    try:
        # After the environment is set, and only in this process.
        import xllamacpp  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        return _fail(answer, "runtime", str(error))
    except MemoryError as error:
        return _fail(answer, "memory", str(error))
    try:
        server = xllamacpp.Server(_parameters(xllamacpp, settings))
    except MemoryError as error:
        return _fail(answer, "memory", str(error))
    except RuntimeError as error:
        return _fail(answer, "load", str(error))
    _say(answer, {"ready": server.listening_address})
    parent = int(settings["parent"])
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(0)


def _parameters(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = settings["model"]
    parameters.n_ctx = settings["context_tokens"] * settings["parallel"]
    parameters.n_parallel = settings["parallel"]
    parameters.n_batch = parameters.n_ubatch = settings["batch_tokens"]
    parameters.cpuparams.n_threads = settings["threads"]
    parameters.cpuparams_batch.n_threads = settings["threads"]
    parameters.cache_ram_mib = settings["prompt_cache_mib"]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [settings["key"]]
    parameters.fit_params = False
    parameters.ui = False
    parameters.verbosity = 1
    return parameters


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    threading.Thread(target=_follow_lifeline, name="lifeline", daemon=True).start()


def _follow_lifeline() -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _say(answer: TextIO, message: dict[str, str]) -> None:
    answer.write(json.dumps(message) + "\n")
    answer.flush()


def _fail(answer: TextIO, kind: str, detail: str) -> int:
    _say(answer, {"failed": kind, "detail": detail})
    return 1


if __name__ == "__main__":
    sys.exit(main())
