"""config.json of every transformers release is one and the same model, and a bad one spoils none after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import TINY_MOE, edit_config, write_checkpoint
from tests.support.processes import run_script

from mf_qwen3_patch import CheckpointWarning
from mindformers import AutoModel

PROMPT = [[5, 6, 7, 8, 9]]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
KINDS = {
    "dense": {},
    "tied": {"tie": True},
    "mixture of experts": TINY_MOE,
    "yarn": {"max_position_embeddings": 512, "rope_scaling": YARN},
}


def logits(directory: Path) -> np.ndarray:
    output = AutoModel.from_pretrained(directory).generate(
        PROMPT, max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    return np.asarray(output["logits"][0][0])


def write(directory: Path, dialect: str, kind: dict[str, Any]) -> Path:
    if dialect != "5" or "rope_scaling" not in kind:
        return write_checkpoint(directory, dialect=dialect, **kind)
    rest = {name: value for name, value in kind.items() if name != "rope_scaling"}
    return write_checkpoint(
        directory, dialect=dialect, **rest, rope_parameters={**kind["rope_scaling"], "rope_theta": 1000000}
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_dialect_gives_the_same_logits(kind: str, tmp_path: Path) -> None:
    old, middle, new = (logits(write(tmp_path / dialect, dialect, KINDS[kind])) for dialect in ("4.51", "4.57", "5"))

    assert np.isfinite(old).all()
    np.testing.assert_array_equal(old, middle)
    np.testing.assert_array_equal(old, new)


def test_the_base_that_only_the_newest_dialect_says_is_used(tmp_path: Path) -> None:
    """Where it is left unread, 1.9 takes its default and says nothing."""
    directory = write_checkpoint(tmp_path / "hf", dialect="5")
    before = logits(directory)
    edit_config(directory, rope_parameters={"rope_theta": 10000.0, "rope_type": "default"})

    assert not np.allclose(before, logits(directory), atol=1e-3)


def test_an_unknown_key_changes_nothing_but_is_said(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    before = logits(directory)
    edit_config(directory, frobnicate={"a": 1})
    with pytest.warns(CheckpointWarning, match="frobnicate"):
        np.testing.assert_array_equal(logits(directory), before)


def test_a_build_that_fails_leaves_the_process_able_to_build(tmp_path: Path) -> None:
    """MindFormers 1.8 refuses every build after a config it could not convert."""
    directory = write_checkpoint(tmp_path / "hf")
    script = """
        import sys
        import mf_qwen3_patch
        mf_qwen3_patch.enable_cpu_kernels()
        from mindformers import AutoModel
        from mindformers.models.qwen3 import Qwen3Config
        from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM

        def attempt(call):
            try:
                return call()
            except Exception as error:
                return type(error).__name__

        def generate(**keywords):
            model = AutoModel.from_pretrained(sys.argv[1], **keywords)
            return model.generate([[5, 6, 7]], max_new_tokens=4, do_sample=False)[0].tolist()

        give([
            attempt(lambda: InferenceQwen3ForCausalLM(Qwen3Config(frobnicate=1, hidden_size=64)) and "built"),
            attempt(generate),
            attempt(lambda: generate(normalization="nonsense")),
            attempt(lambda: generate(frobnicate=1)),
            attempt(generate),
        ])
    """
    _, first, wrong, _, last = run_script(script, directory, cwd=tmp_path).result

    assert isinstance(first, list)
    assert isinstance(wrong, str)
    assert last == first
