"""JSON as a checkpoint needs it: bounded, UTF-8, without duplicate keys, and only our own errors; and its writing."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mf_qwen3_patch.errors import CorruptCheckpoint, Problem


def json_bytes(value: object) -> bytes:
    """Return a JSON file's content as HuggingFace formats it: two spaces, UTF-8, a newline at the end."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def parse_object(data: bytes, *, file: str, what: str, advice: str) -> dict[str, Any]:
    """Parse ``data`` as one JSON object.

    Args:
        data: The bytes; the caller has bounded their number.
        file: The file's name, for the message.
        what: What the text is, e.g. ``"config.json"`` or ``"the header"``.
        advice: What to do about a damaged file of this kind.

    Returns:
        The object.

    Raises:
        CorruptCheckpoint: Not UTF-8, not JSON, a number out of range, nested too deeply, a key that
            occurs twice, or not an object.
    """

    def fail(reason: str) -> NoReturn:
        raise CorruptCheckpoint([Problem(CorruptCheckpoint, f"{what} {reason}", file=file, advice=advice)])

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                # Parsers differ in which of the two they keep, so neither can be trusted.
                fail(f"has the key {key[:80]!r} twice, so which value is meant is not known")
            result[key] = value
        return result

    def not_finite(constant: str) -> NoReturn:
        fail(f"holds {constant}, which is not JSON")

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        fail(f"is not UTF-8 (byte {error.start})")
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=not_finite)
    except RecursionError:
        fail("is nested too deeply")
    except json.JSONDecodeError as error:
        fail(f"is not valid JSON ({error.msg}, line {error.lineno} column {error.colno})")
    except CorruptCheckpoint:
        raise
    except ValueError:
        # CPython refuses to convert integers of more than 4300 digits.
        fail("holds a number that is out of range")
    if not isinstance(value, dict):
        fail(f"is not a JSON object but a {type(value).__name__}")
    return value
