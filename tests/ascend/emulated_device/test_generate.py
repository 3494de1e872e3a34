"""MindSpore's Ascend runtime and graph compiler generate HuggingFace's tokens, on operators that compute on the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.ascend.rehearsal import Rehearsal
from tests.support.processes import ROOT

Emulate = Callable[..., Rehearsal]

_MICRO = ROOT / "src/mf_qwen3_patch/micro_qwen3"
_REFERENCE = ROOT / "tests/reference_data"
_LAYERS = 2

# One of each kind: dense, with tied embeddings, with scaled rotary angles, a mixture of experts.
_CHECKPOINTS = ["fp16", "tied", "yarn", "moe_bf16"]

_SELFTEST = """
    import mf_qwen3_patch
    from mf_qwen3_patch.cli.main import main

    give(main(["selftest", "--device", "Ascend", "--json"]))
"""

# The arguments: the reference data, and the names of checkpoints in them.
_GENERATE = """
    import json, pathlib, sys
    import mf_qwen3_patch
    import numpy as np
    from mindformers import AutoModel

    reference, *names = sys.argv[1:]
    found = {}
    for name in names:
        expected = json.loads(pathlib.Path(reference, "expected", name + ".json").read_text())
        model = AutoModel.from_pretrained(pathlib.Path(reference, "checkpoints", name), torch_dtype="float16")
        prompts = expected["prompts"]
        longest = max(map(len, prompts))
        padded = [prompt + [model.config.pad_token_id] * (longest - len(prompt)) for prompt in prompts]
        out = model.generate(padded, max_new_tokens=expected["max_new_tokens"], do_sample=False,
                             return_dict_in_generate=True, output_logits=True)
        rows = zip(out["sequences"], prompts)
        found[name] = {
            "dtype": str(model.compute_dtype),
            "tokens": [[int(token) for token in row[len(prompt):]] for row, prompt in rows],
            "logits": np.asarray(out["logits"][0], np.float32).tolist(),
        }
    give(found)
"""


@pytest.fixture(scope="module")
def generated(emulate_once: Emulate) -> dict[str, dict[str, Any]]:
    """What the device makes of each checkpoint in float16, all prompts of unequal lengths in one batch."""
    found: dict[str, dict[str, Any]] = emulate_once(_GENERATE, _REFERENCE, *_CHECKPOINTS).result
    return found


@pytest.mark.sweep
def test_the_micro_model_greets_in_bfloat16(emulate: Emulate) -> None:
    done = emulate(_SELFTEST)
    found = json.loads(next(line for line in done.output.splitlines() if line.startswith('{"')))
    assert done.result == 0
    assert found["reached"][-1] == "the model is loaded and verified, to compute in bfloat16"
    assert [one["passed"] for one in found["continuations"]] == [True, True]
    assert found["continuations"][0]["text"] == "你好！我是通义千问，由阿里云开发的AI助手。"
    # It went by MindSpore's internal kernels: a prefill for each prompt, and a decode for each token but the first.
    prompts = found["continuations"]
    decoded = sum(len(one["tokens"]) - 1 for one in prompts)
    assert done.operators["FlashAttentionScore"] == _LAYERS * len(prompts)
    assert done.operators["PagedAttention"] == _LAYERS * decoded
    assert done.operators["ReshapeAndCache"] == _LAYERS * (len(prompts) + decoded)


@pytest.mark.sweep
@pytest.mark.parametrize("name", _CHECKPOINTS)
def test_a_batch_in_float16_has_huggingfaces_tokens(generated: dict[str, dict[str, Any]], name: str) -> None:
    expected = json.loads((_REFERENCE / "expected" / f"{name}.json").read_text())
    logits = np.load(_REFERENCE / "expected" / f"{name}.npz")["logits"]
    assert generated[name]["dtype"] == "Float16"
    assert generated[name]["tokens"] == expected["tokens"]
    # By less than could change any of the tokens.
    assert np.abs(np.array(generated[name]["logits"], np.float32) - logits).max() < expected["smallest_margin"] / 2


@pytest.mark.sweep
def test_after_a_second_load_the_device_computes_with_the_second_checkpoint(emulate: Emulate, tmp_path: Path) -> None:
    """In the second one the rows of the output matrix are moved by one, and so are the tokens."""
    second = tmp_path / "second"
    second.mkdir()
    for path in _MICRO.iterdir():
        (second / path.name).write_bytes(path.read_bytes())
    _move_rows(second / "model.safetensors", "lm_head.weight")
    script = """
        import sys
        import mf_qwen3_patch
        from mindformers import AutoModel

        model = AutoModel.from_pretrained(sys.argv[1])
        first = model.generate([[288]], max_new_tokens=1, do_sample=False)
        model.load_weights(sys.argv[2])
        give([int(first[0][1]), int(model.generate([[288]], max_new_tokens=1, do_sample=False)[0][1])])
    """
    first, then = emulate(script, _MICRO, second).result
    assert [first, then] == [256, 257]


def _move_rows(path: Path, name: str) -> None:
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:start])[name]
    begin, end = (start + offset for offset in entry["data_offsets"])
    row = (end - begin) // entry["shape"][0]
    data[begin:end] = data[end - row : end] + data[begin : end - row]
    path.write_bytes(data)
