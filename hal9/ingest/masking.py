"""Secrets out of text before it is kept: what looks like a key, a token or a password becomes `<secret>`."""

import re

__all__ = ["mask_secrets"]

_MASK = "<secret>"
_NAMED = re.compile(
    r"(?i)(?<![A-Z0-9_.-])([A-Z0-9_.-]{0,40}?(?:api[_-]?key|secret|token|passw(?:or)?d|pwd|credential|private[_-]?key|access[_-]?key)"
    r"[A-Z0-9_.-]{0,20}[\"']?\s*(?:=|:|=>)\s*)([\"']?)(?!<secret>)([^\s\"',;&|)}\]]{6,})"
)
_BEARER = re.compile(
    r"(?i)\b(authorization\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+|bearer\s+)([A-Za-z0-9._~+/=-]{12,})"
)
_URL_LOGIN = re.compile(r"(://[^\s:/@]+:)([^\s/@]{3,})(@)")
_KNOWN = (
    re.compile(r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
    re.compile(r"\bglpat-[A-Za-z0-9_-]{16,}"),
    re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\bAIza[A-Za-z0-9_-]{30,}"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{8,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)
_HINT = re.compile(r"key|secret|token|passw|pwd|credential", re.IGNORECASE)
# What stands in code where a value is looked up: no secret, and worth keeping.
_CODE = re.compile(
    r"^(?:os\.|self\.|\$|<|\{|None\b|null\b|true\b|false\b|process\.|getenv|env\b|input\(|\w+\()",
    re.IGNORECASE,
)


def mask_secrets(text: str) -> str:
    """The text with everything that looks like a secret replaced by ``<secret>``; idempotent."""
    for pattern in _KNOWN:
        text = pattern.sub(_MASK, text)
    text = _URL_LOGIN.sub(rf"\g<1>{_MASK}\g<3>", text)
    text = _BEARER.sub(rf"\g<1>{_MASK}", text)
    return _NAMED.sub(_named, text) if _HINT.search(text) else text


def _named(match: re.Match[str]) -> str:
    if _CODE.match(match.group(3)):
        return match.group(0)
    return f"{match.group(1)}{match.group(2)}{_MASK}"
