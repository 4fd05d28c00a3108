"""A local model asked over HTTP, each answer kept in a file: what was answered once is never computed again.

Only the standard library: peers run it in environments of their own.
"""

import hashlib
import json
import os
import sqlite3
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Model:
    """One model behind the server named by HAL9_TUNE_URL_<role> and HAL9_TUNE_KEY_<role>.

    Args:
        role: TASK or REFLECT.
        kept: the file of answers.
    """

    def __init__(self, role: str, kept: Path) -> None:
        self.name = os.environ[f"HAL9_TUNE_MODEL_{role}"]
        self._url = os.environ[f"HAL9_TUNE_URL_{role}"] + "/v1/chat/completions"
        self._key = os.environ[f"HAL9_TUNE_KEY_{role}"]
        self._kept = sqlite3.connect(kept, timeout=60, isolation_level=None)
        self._kept.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, text TEXT NOT NULL)")

    def ask(self, system: str, user: str, *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> str:
        """The text of one answer."""
        turns = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return self.chat([turn for turn in turns if turn["content"]], max_tokens, temperature, seed)

    def chat(self, turns: Sequence[dict[str, Any]], max_tokens: int, temperature: float, seed: int) -> str:
        """The text of one answer to a conversation."""
        body = {
            "messages": list(turns),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "cache_prompt": True,
        }
        key = hashlib.sha256(json.dumps([self.name, body], sort_keys=True).encode()).hexdigest()
        row = self._kept.execute("SELECT text FROM kept WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return str(row[0])
        request = urllib.request.Request(
            self._url,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        with urllib.request.urlopen(request, timeout=900) as answer:
            text = str(json.load(answer)["choices"][0]["message"]["content"] or "")
        self._kept.execute("INSERT OR IGNORE INTO kept VALUES (?, ?)", (key, text))
        return text
