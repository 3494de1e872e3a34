"""Answers held against the schemas that are published."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from tests.support.processes import ROOT


def check_against_schema(found: dict[str, Any], name: str) -> None:
    """Raise if an answer is not as its schema says, or has a key that the schema does not name."""
    schema = json.loads((ROOT / "docs" / "reference" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    for part in (schema, *schema.get("$defs", {}).values()):
        part["additionalProperties"] = False
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema, jsonschema.Draft202012Validator)
