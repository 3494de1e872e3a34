"""What a MindFormers release that cannot be patched gets: one clear line, and no half of the patches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.processes import run_script

from mf_qwen3_patch.activation.upstream import TESTED_STACKS

_NAMES_AND_STATES = "give([[patch.name, patch.state, patch.reason] for patch in mf_qwen3_patch.status()])"
_OF_MINDSPORE = {"load_checkpoint"}


def _states(result: list[list[str]]) -> dict[str, tuple[str, str]]:
    return {name: (state, reason) for name, state, reason in result}


def test_the_release_before_the_training_class(tmp_path: Path) -> None:
    """A real one, which the matrix downloads."""
    directory = os.environ.get("MF_QWEN3_PATCH_TEST_REFUSED")
    if not directory:
        pytest.skip("MF_QWEN3_PATCH_TEST_REFUSED does not name a directory with mindformers 1.6.0 in it")
    script = f"""
    import sys
    sys.path.insert(0, {directory!r})
    import mf_qwen3_patch
    import mindformers
    assert mindformers.__file__.startswith({directory!r}), mindformers.__file__
    {_NAMES_AND_STATES}
    """
    finished = run_script(script, cwd=tmp_path)
    states = _states(finished.result)
    for name in states.keys() - _OF_MINDSPORE:
        assert states[name][0] == "skipped"
        assert "training class" in states[name][1]
    assert finished.output.count("PatchWarning") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("del utils.Qwen3PreTrainedModel.weight_mapping", "weight_mapping"),
        ("del modeling_qwen3_train.TrainingQwen3ForCausalLM.convert_weight_dict", "convert_weight_dict"),
    ],
)
def test_a_release_without_what_the_patches_build_upon(change: str, said: str, tmp_path: Path) -> None:
    """None is on PyPI, 2.0.0 and 2.1.0 have it, too: the release that is installed loses it."""
    script = f"""
    import mindformers
    from mindformers.models.qwen3 import modeling_qwen3_infer, modeling_qwen3_train, utils
    {change}
    before = dict(vars(modeling_qwen3_infer.InferenceQwen3ForCausalLM))
    import mf_qwen3_patch
    assert dict(vars(modeling_qwen3_infer.InferenceQwen3ForCausalLM)) == before
    {_NAMES_AND_STATES}
    """
    finished = run_script(script, cwd=tmp_path)
    states = _states(finished.result)
    for name in states.keys() - _OF_MINDSPORE:
        assert states[name][0] == "skipped"
        assert said in states[name][1]
        assert [tested["mindformers"] for tested in TESTED_STACKS if tested["mindformers"] not in states[name][1]] == []
    assert finished.output.count("PatchWarning") == 1


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("patch", "change", "owner", "attribute"),
    [
        (
            "convert_weight_dict",
            "InferenceQwen3ForCausalLM.convert_weight_dict = classmethod(lambda cls, weights: weights)",
            "InferenceQwen3ForCausalLM",
            "convert_weight_dict",
        ),
        (
            "load_weights",
            "InferenceQwen3ForCausalLM.load_weights = lambda self, path: None",
            "InferenceQwen3ForCausalLM",
            "load_weights",
        ),
        (
            "from_pretrained",
            "Qwen3PreTrainedModel.from_pretrained = classmethod(lambda cls, path: None)",
            "Qwen3PreTrainedModel",
            "from_pretrained",
        ),
        ("auto_model", "AutoModel.register(Qwen3Config, InferenceQwen3ForCausalLM)", "AutoModel", "from_pretrained"),
        ("auto_config", "AutoConfig.register('qwen3', Qwen3Config)", "AutoConfig", "from_pretrained"),
        (
            "auto_tokenizer",
            "AutoTokenizer.register(Qwen3Config, fast_tokenizer_class=Qwen2TokenizerFast)",
            "AutoTokenizer",
            "from_pretrained",
        ),
    ],
)
def test_what_upstream_comes_to_do_itself(patch: str, change: str, owner: str, attribute: str, tmp_path: Path) -> None:
    """The one patch steps aside, the others are applied, and upstream's own is what is called."""
    script = f"""
    from mindformers.models.auto import AutoConfig, AutoModel, AutoTokenizer
    from mindformers.models.qwen3.configuration_qwen3 import Qwen3Config
    from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
    from mindformers.models.qwen3.utils import Qwen3PreTrainedModel
    from mindformers.models.tokenization_utils_fast import PreTrainedTokenizerFast
    class Qwen2TokenizerFast(PreTrainedTokenizerFast): pass
    {change}
    before = vars({owner}).get({attribute!r})
    import mf_qwen3_patch
    assert vars({owner}).get({attribute!r}) is before
    {_NAMES_AND_STATES}
    """
    states = _states(run_script(script, cwd=tmp_path).result)
    assert states[patch][0] == "skipped"
    assert states[patch][1]
    assert {state for name, (state, _) in states.items() if name != patch} == {"applied"}
