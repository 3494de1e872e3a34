"""Make docs/reference/json.md, its Chinese version, and the JSON Schema files beside them.

python -m scripts.make_json_pages
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from scripts.json_objects import ANSWERS, PARTS, Keys

from mf_qwen3_patch.cli._shared import SCHEMA_VERSION

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
SCHEMAS = REFERENCE / "schemas"

_SIMPLE = frozenset({"string", "integer", "number", "boolean", "null"})
_HEADS = {
    "en": (
        "# JSON\n\nEvery JSON object that a command prints, and the report of a load, has `schema_version`: "
        f"{SCHEMA_VERSION}. It rises when a key is renamed or removed, not when one is added: "
        "ignore keys that you don't know. The [exit code](settings.md) says the "
        "same in short. Keys in *italics* may be absent.\n"
    ),
    "zh": (
        "# JSON 格式\n\n命令打印的每个 JSON 对象以及加载报告都带有 `schema_version`：当前为 "
        f"{SCHEMA_VERSION}。键改名或删除时它会增大，新增键时不变，因此请忽略不认识的键。"
        "[退出码](settings.md)给出同样的结论。*斜体*的键可能不出现。\n"
    ),
}
_COLUMNS = {"en": ("key", "type", "meaning"), "zh": ("键", "类型", "含义")}
_SCHEMA_LINE = {"en": "JSON Schema: [{0}](schemas/{0})", "zh": "JSON Schema：[{0}](schemas/{0})"}
_PARTS_TITLE = {"en": "Objects inside them", "zh": "其中的对象"}
_EARLY = {"en": "Early failures", "zh": "提前结束"}
_TYPES_ZH = {"string": "字符串", "integer": "整数", "number": "数值", "boolean": "布尔", "null": "null"}
_TYPES_EN = {name: name for name in _TYPES_ZH}


def schema_of(name: str) -> dict[str, Any]:
    """Return the JSON Schema of an answer."""
    keys: Keys = {"schema_version": ("integer", "", ""), **ANSWERS[name].keys}
    used: dict[str, Any] = {}
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": ANSWERS[name].english,
        **_object(keys, used),
    }
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION}
    return {**schema, "$defs": dict(sorted(used.items()))} if used else schema


def _object(keys: Keys, used: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for key, (kind, english, _) in keys.items():
        described = {"description": english.replace("`", "")} if english else {}
        properties[key.removesuffix("?")] = {**_type(kind, used), **described}
    required = [key for key in keys if not key.endswith("?")]
    return {"type": "object", "properties": properties, "required": required}


def _type(kind: str, used: dict[str, Any]) -> dict[str, Any]:
    if kind.startswith("[") and kind.endswith("]"):
        return {"type": "array", "items": _type(kind[1:-1], used)}
    if kind.startswith("{") and kind.endswith("}"):
        return {"type": "object", "additionalProperties": _type(kind[1:-1], used)}
    if "|" in kind:
        return {"anyOf": [_type(one, used) for one in kind.split("|")]}
    if kind in _SIMPLE:
        return {"type": kind}
    if kind not in used:
        used[kind] = {}
        used[kind] = _object(PARTS[kind], used)
    return {"$ref": f"#/$defs/{kind}"}


def page(language: str) -> str:
    """Return the page in ``en`` or ``zh``."""
    parts = [_HEADS[language]]
    for name, answer in ANSWERS.items():
        title = _EARLY[language] if name == "error" else answer.title
        about = answer.english if language == "en" else answer.chinese
        parts.append(f"## {title}\n\n{about} {_SCHEMA_LINE[language].format(f'{name}.schema.json')}\n")
        parts.append(_table(answer.keys, language))
    parts.append(f"## {_PARTS_TITLE[language]}\n")
    for name, keys in PARTS.items():
        parts.append(f"### {name}\n")
        parts.append(_table(keys, language))
    return "\n".join(parts)


def _table(keys: Keys, language: str) -> str:
    lines = ["| " + " | ".join(_COLUMNS[language]) + " |", "|---|---|---|"]
    for key, (kind, english, chinese) in keys.items():
        name = f"`{key}`" if not key.endswith("?") else f"*`{key[:-1]}`*"
        lines.append(f"| {name} | {_described(kind, language)} | {english if language == 'en' else chinese} |")
    return "\n".join(lines) + "\n"


def _described(kind: str, language: str) -> str:
    """Return a type in words."""
    simple, english = (_TYPES_EN, True) if language == "en" else (_TYPES_ZH, False)
    if kind.startswith("[") and kind.endswith("]"):
        inner = _described(kind[1:-1], language)
        return f"list of {inner}" if english else f"{inner}的列表"
    if kind.startswith("{") and kind.endswith("}"):
        inner = _described(kind[1:-1], language)
        return f"map to {inner}" if english else f"映射，值为{inner}"
    if "|" in kind:
        return (" or " if english else "或").join(_described(one, language) for one in kind.split("|"))
    return simple[kind] if kind in simple else f"[{kind}](#{re.sub('[^a-z0-9]+', '-', kind.lower())})"


def files() -> dict[Path, str]:
    """Return what is made: each file's path and content."""
    made = {REFERENCE / "json.md": page("en"), REFERENCE / "json.zh.md": page("zh")}
    for name in ANSWERS:
        text = json.dumps(schema_of(name), indent=2, ensure_ascii=False) + "\n"
        made[SCHEMAS / f"{name}.schema.json"] = text
    return made


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
