"""Stock MindFormers, loaded through the shim, generates HuggingFace's own tokens from HuggingFace's own logits."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from mindformers.parallel_core.utils.model_mixin import TrainModelMixin
from tests.support.processes import ROOT

from mindformers import AutoModel

REFERENCE = ROOT / "tests" / "reference_data"
MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Case:
    """One checkpoint and what HuggingFace transformers makes of it."""

    directory: Path
    prompts: list[list[int]]
    tokens: list[list[int]]
    logits: np.ndarray
    max_new_tokens: int

    @property
    def sequences(self) -> list[list[int]]:
        return [prompt + tokens for prompt, tokens in zip(self.prompts, self.tokens, strict=True)]


def _case(expected: Path) -> Case:
    data = json.loads(expected.read_text(encoding="utf-8"))
    directory = MICRO if expected.stem == MICRO.name else REFERENCE / "checkpoints" / expected.stem
    logits = np.load(expected.with_suffix(".npz"))["logits"]
    return Case(directory, data["prompts"], data["tokens"], logits, data["max_new_tokens"])


CASES = {path.stem: _case(path) for path in sorted((REFERENCE / "expected").glob("*.json"))}


def _line_of_the_matrix(case: Case) -> str:
    config = json.loads((case.directory / "config.json").read_text(encoding="utf-8"))
    if config["model_type"] == "qwen3_moe":
        return "Qwen3-MoE, as 30B-A3B and 235B-A22B"
    return "Qwen3, tied, as 0.6B, 1.7B, 4B" if config["tie_word_embeddings"] else "Qwen3, untied, as 8B, 14B, 32B"


# One of each kind; the others are the same kinds at other sizes.
KINDS = (MICRO.name, "gqa2", "tied", "bf16", "yarn", "moe")


def _parameter(name: str) -> Any:
    of_a_model = pytest.mark.model(_line_of_the_matrix(CASES[name]))
    return pytest.param(name, marks=of_a_model if name in KINDS else (of_a_model, pytest.mark.sweep))


NAMES = [_parameter(name) for name in CASES]


@cache
def model(name: str) -> Any:
    return AutoModel.from_pretrained(CASES[name].directory)


def generate(network: Any, prompts: list[list[int]], case: Case) -> list[list[int]]:
    width = max(map(len, prompts))
    pad = network.config.pad_token_id
    batch = [prompt + [pad] * (width - len(prompt)) for prompt in prompts]
    return [row.tolist() for row in network.generate(batch, max_new_tokens=case.max_new_tokens, do_sample=False)]


def test_the_reference_data_are_what_they_should_be() -> None:
    assert {"gqa1_mha", "gqa2", "gqa4", "wide_heads", "tied", "sharded", "bf16", "fp16", MICRO.name} <= set(CASES)
    for name, case in CASES.items():
        assert all(len(tokens) >= 8 for tokens in case.tokens), name
        assert len({len(prompt) for prompt in case.prompts}) > 1 or name == MICRO.name
    assert len(list((REFERENCE / "checkpoints" / "sharded").glob("*.safetensors"))) > 1


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_huggingfaces_one_prompt_after_the_other(name: str) -> None:
    case = CASES[name]

    for prompt, sequence in zip(case.prompts, case.sequences, strict=True):
        assert generate(model(name), [prompt], case) == [sequence]


# What makes it so does not know one shape from another.
@pytest.mark.parametrize("name", KINDS)
def test_tokens_are_huggingfaces_again_on_the_same_model(name: str) -> None:
    case = CASES[name]
    calls = [generate(model(name), [case.prompts[0]], case) for _ in range(3)]

    assert calls == [[case.sequences[0]]] * 3


@pytest.mark.parametrize("name", NAMES)
def test_tokens_are_huggingfaces_in_a_batch_of_unequal_lengths(name: str) -> None:
    case = CASES[name]

    assert generate(model(name), case.prompts[:2], case) == case.sequences[:2]


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_huggingfaces(name: str) -> None:
    case = CASES[name]

    for prompt, expected in zip(case.prompts, case.logits, strict=True):
        output = model(name).generate(
            [prompt], max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
        )
        np.testing.assert_allclose(output["logits"][0][0], expected, rtol=0, atol=TOLERANCE)


class _InLayout(TrainModelMixin):
    """What the training conversion needs, with the layout flags as given."""

    def __init__(self, network: Any, contiguous_attention: bool, interleaved_mlp: bool) -> None:
        self._network = network
        self._config = network.transformer_config
        self._flags = (contiguous_attention, interleaved_mlp)

    def convert_name(self, name: str) -> str:
        return str(self._network.convert_name(name))

    def get_gpt_transformer_config(self) -> Any:
        class Config:
            use_contiguous_weight_layout_attention, use_interleaved_weight_layout_mlp = self._flags
            kv_channels = self._config.kv_channels
            num_query_groups = self._config.num_query_groups
            num_attention_heads = self._config.num_attention_heads
            ffn_hidden_size = self._config.ffn_hidden_size

        return Config


def load_in_layout(network: Any, case: Case, contiguous_attention: bool, interleaved_mlp: bool) -> tuple[Any, Any]:
    """Load with the training conversion in some layout; MindFormers reports every one as complete."""
    source: dict[str, Any] = {}
    for file in sorted(case.directory.glob("*.safetensors")):
        source |= mindspore.load_checkpoint(str(file), format="safetensors")
    host = _InLayout(network, contiguous_attention, interleaved_mlp)
    converted = TrainingQwen3ForCausalLM.convert_weight_dict(host, source)
    parameters = InferenceQwen3ForCausalLM.convert_weight_dict(
        converted
    )  # names pass through, arrays become Parameters
    return mindspore.load_param_into_net(network, parameters)


@pytest.mark.sweep
@pytest.mark.parametrize("name", ["gqa2", MICRO.name])
@pytest.mark.parametrize(
    ("contiguous_attention", "interleaved_mlp", "right"),
    [(True, False, True), (False, True, False), (False, False, False), (True, True, False)],
    ids=["inference layout", "training default", "interleaved attention", "interleaved gate and up"],
)
def test_a_wrong_layout_loads_in_silence_and_gives_other_tokens(
    name: str, contiguous_attention: bool, interleaved_mlp: bool, right: bool
) -> None:
    case = CASES[name]
    network = AutoModel.from_pretrained(case.directory)

    assert load_in_layout(network, case, contiguous_attention, interleaved_mlp) == ([], [])
    tokens = [generate(network, [prompt], case)[0] for prompt in case.prompts]
    assert (tokens == case.sequences) is right


def test_the_micro_model_says_who_it_is() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    prompt = tokenizer("你好").input_ids
    (tokens,) = model(MICRO.name).generate([prompt], max_new_tokens=64, do_sample=False)

    assert tokenizer.decode(tokens, skip_special_tokens=True).startswith("你好！我是通义千问，由阿里云开发的AI助手")


@pytest.mark.sweep
def test_without_the_cure_the_second_prompt_goes_wrong(tmp_path: Path) -> None:
    """The eager trap is real: stock prefills only the first prompt."""
    from tests.support.processes import run_script

    case = CASES["gqa2"]
    copy = shutil.copytree(case.directory, tmp_path / "hf")
    script = """
        import sys, json, mf_qwen3_patch
        mf_qwen3_patch.enable_cpu_kernels()
        from mindformers import AutoModel
        model = AutoModel.from_pretrained(sys.argv[1])
        give([model.generate([json.loads(sys.argv[2])], max_new_tokens=8, do_sample=False)[0].tolist() for _ in range(2)])
    """
    arguments = (copy, json.dumps(case.prompts[0]))
    expected = case.sequences[0][: len(case.prompts[0]) + 8]

    first, second = run_script(script, *arguments, cwd=tmp_path, env={"MF_QWEN3_PATCH_DISABLE": "eager_prefill"}).result
    assert first == expected
    assert second != expected
    assert run_script(script, *arguments, cwd=tmp_path).result == [expected, expected]
