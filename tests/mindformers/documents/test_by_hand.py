"""What the documents say of stock MindFormers, and their code for those who do without the shim, is true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.support.processes import ROOT, run_script

PROBLEMS = ROOT / "docs" / "problems"
CHECKPOINTS = ("gqa4", "bf16", "sharded")
# In the order of the table in QKV_FFN_MERGE.
LAYOUTS = ((False, True), (False, False), (True, True), (True, False))

_SCRIPT = """
import importlib.util, json, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
import mf_qwen3_patch
mf_qwen3_patch.enable_cpu_kernels()
mf_qwen3_patch.deactivate()

reference, draw_py, by_hand, merge = sys.argv[1:]
hand = {"__name__": "load_by_hand"}
exec(by_hand, hand)
hand["build_context"]({"use_legacy": False, "run_mode": "predict", "context": {"mode": 1, "device_target": "CPU"}, "parallel": {}})
Host = hand["Host"]
right_layout = Host.get_gpt_transformer_config
merging = {}
exec(merge, merging)

def host(attention, mlp, config):
    layout = SimpleNamespace(
        use_contiguous_weight_layout_attention=attention, use_interleaved_weight_layout_mlp=mlp,
        kv_channels=config["head_dim"], num_query_groups=config["num_key_value_heads"],
        num_attention_heads=config["num_attention_heads"], ffn_hidden_size=config["intermediate_size"])
    Host.get_gpt_transformer_config = lambda self: layout

def tokens(directory, prompt):
    model = hand["load"](directory, **dict.fromkeys(("params_dtype", "compute_dtype", "rotary_dtype"), "float32"))
    return model.generate([prompt], max_new_tokens=8, do_sample=False)[0].tolist()[len(prompt):]

found = {"tokens": {}, "by_hand": {}}
for name in ("gqa4", "bf16", "sharded"):
    directory = f"{reference}/checkpoints/{name}"
    config = json.loads(Path(directory, "config.json").read_text())
    prompt = json.loads(Path(reference, "expected", f"{name}.json").read_text())["prompts"][0]
    Host.get_gpt_transformer_config = right_layout
    found["by_hand"][name] = tokens(directory, prompt)
    found["tokens"][name] = []
    for layout in ((False, True), (False, False), (True, True), (True, False)):
        host(*layout, config)
        found["tokens"][name].append(tokens(directory, prompt))

# The pictures, by labelled rows through the conversion's own methods.
spec = importlib.util.spec_from_file_location("draw", draw_py)
draw = importlib.util.module_from_spec(spec)
spec.loader.exec_module(draw)
layer = "decoder.layers.0"
def labelled(prefix, count):
    return np.array([[f"{prefix}{n}"] for n in range(count)])
config = {"head_dim": 1, "num_key_value_heads": 2, "num_attention_heads": 4, "intermediate_size": 4}
source = {
    f"{layer}.self_attention.linear_q.weight": labelled("Q", 4), f"{layer}.self_attention.linear_k.weight": labelled("K", 2),
    f"{layer}.self_attention.linear_v.weight": labelled("V", 2), f"{layer}.mlp.gating.weight": labelled("g", 4),
    f"{layer}.mlp.hidden.weight": labelled("u", 4)}
for name, layout in (("training", (False, True)), ("inference", (True, False))):
    host(*layout, config)
    merged = hand["TrainingQwen3ForCausalLM"].convert_weight_dict(Host(), dict(source))
    found[name] = [merged[f"{layer}.{key}.weight"].ravel().tolist() for key in ("self_attention.linear_qkv", "mlp.linear_fc1")]
found["drawn"] = {
    "training": [draw.qkv_training(4, 2), draw.mlp_training(4)], "inference": [draw.qkv_inference(4, 2), draw.mlp_inference(4)]}

# The function that merges by hand, against the conversion.
random = np.random.default_rng(0)
shapes = {"self_attn.q": 8, "self_attn.k": 4, "self_attn.v": 4, "mlp.gate": 6, "mlp.up": 6}
arrays = {f"model.layers.0.{part}_proj.weight": random.random((rows, 3)) for part, rows in shapes.items()}
by_hand = merging["merge"](arrays, 0)
converted = hand["TrainingQwen3ForCausalLM"].convert_weight_dict(Host(), arrays)
found["merge"] = sorted(by_hand) == sorted(converted) and all(np.array_equal(by_hand[n], converted[n]) for n in converted)
give(found)
"""


def code(page: str, containing: str) -> str:
    blocks = re.findall(r"```python[^\n]*\n(.*?)```", (PROBLEMS / page).read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if containing in block]
    return block


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run_script(
        _SCRIPT,
        ROOT / "tests" / "reference_data",
        ROOT / "docs" / "pictures" / "draw.py",
        code("NUMPY_TO_PARAMETER_FIX.md", "load_param_into_net"),
        code("QKV_FFN_MERGE.md", "def merge"),
        cwd=tmp_path_factory.mktemp("by_hand"),
        env={"ENFORCE_EAGER": "true"},
        timeout=600,
    ).result


def huggingface(name: str) -> list[int]:
    expected = json.loads((ROOT / "tests" / "reference_data" / "expected" / f"{name}.json").read_text())
    return list(expected["tokens"][0][:8])


@pytest.mark.sweep
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_script_that_loads_by_hand_gives_huggingface_s_tokens(name: str, found: Any) -> None:
    assert found["by_hand"][name] == huggingface(name)


@pytest.mark.sweep
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_the_table_of_layouts_is_what_a_run_gives(name: str, found: Any) -> None:
    rows = re.findall(
        r"^\| (True|False)\b.*? \| (True|False)\b.*? \| (.+) \|$",
        (PROBLEMS / "QKV_FFN_MERGE.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    said = [(attention == "True", mlp == "True", verdict == "HuggingFace's") for attention, mlp, verdict in rows]

    ran = [tokens == huggingface(name) for tokens in found["tokens"][name]]
    assert said == [(*layout, right) for layout, right in zip(LAYOUTS, ran, strict=True)]


@pytest.mark.sweep
def test_the_pictures_show_what_the_conversion_does(found: Any) -> None:
    assert found["drawn"] == {name: found[name] for name in ("training", "inference")}


@pytest.mark.sweep
def test_merging_by_hand_is_what_the_conversion_does(found: Any) -> None:
    assert found["merge"] is True


def test_the_host_is_the_same_on_both_pages() -> None:
    pages = ("WEIGHT_CONVERSION_ISSUE.md", "NUMPY_TO_PARAMETER_FIX.md")
    hosts = [re.search(r"^class Host.*?^$\n^$", code(page, "class Host"), re.DOTALL | re.MULTILINE) for page in pages]

    assert hosts[0] is not None
    assert hosts[1] is not None
    assert hosts[0][0] == hosts[1][0]


def test_the_dimensions_read_by_hand_are_those_of_the_config(tmp_path: Path) -> None:
    reading: dict[str, Any] = {}
    exec(code("CONFIG_MISMATCH_SOLUTION.md", "def dimensions"), reading)
    for directory in sorted((ROOT / "tests" / "reference_data" / "checkpoints").iterdir()):
        config = json.loads((directory / "config.json").read_text())
        if config["model_type"] != "qwen3":
            continue
        read = reading["dimensions"](directory)
        assert read == {name: config[name] for name in read}
