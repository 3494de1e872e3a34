"""Networks whose rotary tables have no room are refused before they are built; conversions need none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import write_checkpoint

from mf_qwen3_patch.checkpoint.checks.memory import free_host_memory
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import ConfigMismatch
from mf_qwen3_patch.loading.mindformers_config import merge_model_config
from mindformers import AutoModelForCausalLM


def _too_many_positions() -> int:
    free = free_host_memory()
    assert free is not None
    return free // (32 * 22) * 2


ENTRIES: dict[str, Callable[[Path], Any]] = {
    "from_pretrained": lambda directory: AutoModelForCausalLM.from_pretrained(str(directory)),
    "the launcher": lambda directory: merge_model_config(directory, {}),
}


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.filterwarnings("ignore:.*loading needs about")
def test_tables_that_this_host_has_no_room_for_are_refused(entry: str, tmp_path: Path) -> None:
    positions = _too_many_positions()
    directory = write_checkpoint(tmp_path, max_position_embeddings=positions)
    with pytest.raises(ConfigMismatch, match=f"rotary tables of {positions} positions") as caught:
        ENTRIES[entry](directory)
    assert "is free on this host" in str(caught.value)
    assert AutoModelForCausalLM.from_pretrained(str(directory), max_position_embeddings=512).mf_qwen3_report is not None


def test_a_conversion_computes_no_tables(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", max_position_embeddings=_too_many_positions())
    convert_to_mindformers(source, tmp_path / "target", ranks=2, progress=False)
    assert (tmp_path / "target" / "rank_1" / "model.safetensors").is_file()
