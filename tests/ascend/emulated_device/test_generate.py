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

_SELFTEST = """
    import mf_qwen3_patch
    from mf_qwen3_patch.cli.main import main

    give(main(["selftest", "--device", "Ascend", "--json"]))
"""

# The arguments: a directory, prompts as JSON, the number of new tokens, and a dtype or nothing.
_GENERATE = """
    import json, sys
    import mf_qwen3_patch
    import numpy as np
    from mindformers import AutoModel

    directory, prompts, new_tokens, *dtype = sys.argv[1:]
    model = AutoModel.from_pretrained(directory, **{"torch_dtype": name for name in dtype})
    prompts = json.loads(prompts)
    longest = max(map(len, prompts))
    batch = [prompt + [model.config.pad_token_id] * (longest - len(prompt)) for prompt in prompts]
    out = model.generate(
        batch, max_new_tokens=int(new_tokens), do_sample=False, return_dict_in_generate=True, output_logits=True)
    give({
        "dtype": str(model.compute_dtype),
        "tokens": [[int(token) for token in row[len(prompt):]] for row, prompt in zip(out["sequences"], prompts)],
        "logits": np.asarray(out["logits"][0], np.float32).tolist(),
    })
"""


def _generated(done: Rehearsal, expected: dict[str, Any], logits: np.ndarray) -> None:
    assert done.result["tokens"] == expected["tokens"]
    difference = np.abs(np.array(done.result["logits"], np.float32) - logits).max()
    assert difference < expected["smallest_margin"] / 2


def test_the_micro_model_greets_in_bfloat16(emulate: Emulate) -> None:
    done = emulate(_SELFTEST)
    found = json.loads(next(line for line in done.output.splitlines() if line.startswith('{"passed"')))
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


@pytest.mark.parametrize("name", ["fp16"])
def test_prompts_of_unequal_lengths_in_one_batch(emulate: Emulate, name: str) -> None:
    expected = json.loads((_REFERENCE / "expected" / f"{name}.json").read_text())
    logits = np.load(_REFERENCE / "expected" / f"{name}.npz")["logits"]
    prompts = json.dumps(expected["prompts"])
    done = emulate(_GENERATE, _REFERENCE / "checkpoints" / name, prompts, expected["max_new_tokens"])
    assert done.result["dtype"] == "Float16"
    _generated(done, expected, logits)


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
