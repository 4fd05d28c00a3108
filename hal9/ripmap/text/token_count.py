"""How many tokens a text is: by a real tokenizer where one is at hand, else by a calibrated upper estimate.

The estimate never fetches anything. A real tokenizer is used when the user names one, or when tiktoken is
installed and its vocabulary is already on this machine (loading it would otherwise reach for the network).
"""

import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from hal9.errors.ripmap import TokenizerUnusable
from hal9.ripmap.text.token_estimate import estimate_tokens

__all__ = ["TokenCounter", "estimate_tokens", "token_counter"]

_ENCODINGS = {
    "o200k_base": "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
    "cl100k_base": "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken",
}


class TokenCounter:
    """Counts tokens; `exact` says whether a real tokenizer does."""

    def __init__(self, name: str, count: Callable[[str], int], *, exact: bool) -> None:
        self.name = name
        self.exact = exact
        self._count = count

    def __call__(self, text: str) -> int:
        """Tokens in `text`."""
        return self._count(text)


@cache
def token_counter(name: str = "auto") -> TokenCounter:
    """The counter called `name`.

    Args:
        name: "auto" (a real tokenizer that is already here, else the estimate), "estimate",
            "tiktoken:ENCODING", or the path of a `tokenizer.json`.

    Raises:
        TokenizerUnusable: the named tokenizer is not installed or cannot be loaded.
    """
    if name == "estimate":
        return TokenCounter("estimate", estimate_tokens, exact=False)
    if name == "auto":
        local = next((encoding for encoding in _ENCODINGS if _is_local(encoding)), None)
        return _tiktoken(local) if local is not None else token_counter("estimate")
    kind, _, rest = name.partition(":")
    if kind == "tiktoken":
        return _tiktoken(rest or "o200k_base")
    return _tokenizers(name)


def _is_local(encoding: str) -> bool:
    if not _is_installed("tiktoken"):
        return False
    import hashlib  # noqa: PLC0415 - only where tiktoken is
    import tempfile  # noqa: PLC0415

    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    place = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    name = hashlib.sha1(_ENCODINGS[encoding].encode(), usedforsecurity=False).hexdigest()
    return (place / name).is_file()


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 - looked up only when a budget is counted

    return find_spec(package) is not None


def _tiktoken(encoding: str) -> TokenCounter:
    try:
        found = import_module("tiktoken").get_encoding(encoding)
    except (ImportError, ValueError, OSError) as error:
        raise TokenizerUnusable(name=f"tiktoken:{encoding}", detail=str(error)) from error
    return TokenCounter(f"tiktoken:{encoding}", lambda text: len(found.encode_ordinary(text)), exact=True)


def _tokenizers(path: str) -> TokenCounter:
    try:
        found = import_module("tokenizers").Tokenizer.from_file(path)
    except ImportError as error:
        raise TokenizerUnusable(name=path, detail="the package tokenizers is not installed") from error
    except Exception as error:
        raise TokenizerUnusable(name=path, detail=str(error)) from error

    def count(text: str) -> int:
        return len(found.encode(text, add_special_tokens=False).ids)

    return TokenCounter(path, count, exact=True)
