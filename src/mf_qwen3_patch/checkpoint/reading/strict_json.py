"""JSON as a checkpoint needs it: bounded, UTF-8, without duplicate keys, and only our own errors; and its writing."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mf_qwen3_patch._display import json_kind, short_json
from mf_qwen3_patch.errors import CorruptCheckpoint, Problem


def json_bytes(value: object) -> bytes:
    """Return a JSON file's content as HuggingFace formats it: two spaces, UTF-8, a newline at the end.

    Where a string holds half of a surrogate pair, which UTF-8 can't, all of it is ASCII.
    """
    try:
        return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=2) + "\n").encode()


def parse_object(data: bytes, *, file: str, what: str | None = None, advice: str | None = None) -> dict[str, Any]:
    """Parse ``data``, whose length the caller has bounded, as one JSON object.

    ``what`` is what the text is (``"the header"``), by default ``file``; ``advice`` what to do about a damaged one.
    Raises CorruptCheckpoint if it is not UTF-8, not JSON, no object, nested too deeply, or has a number out of range
    or a key twice.
    """

    def fail(reason: str, to_do: str = advice or f"download {file} again") -> NoReturn:
        raise CorruptCheckpoint([Problem(CorruptCheckpoint, f"{what or file} {reason}", file=file, advice=to_do)])

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in pairs:
            if key in result:
                # Parsers differ in which of the two they keep, so neither can be trusted.
                both = f"{short_json(result[key])} and {short_json(value)}"
                to_do = f"keep one of the two in {file}; a program that writes it so has a fault"
                fail(f"has the key {short_json(key)} twice ({both}), so which value is meant is not known", to_do)
            result[key] = value
        return result

    def not_finite(constant: str) -> NoReturn:
        fail(f"holds {constant}, which is not JSON")

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=not_finite)
    except UnicodeDecodeError as error:
        fail(f"is not UTF-8 (byte {error.start})")
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
        fail(f"is not a JSON object but {json_kind(value)}")
    return value
