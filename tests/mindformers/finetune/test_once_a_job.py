"""The conversion before a fine-tune: made once, continued, made again where it is damaged; and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import read_safetensors, write_checkpoint
from tests.support.finetuning import outcomes
from tests.support.processes import run_script

_STEPS = """
import json, os, sys
os.environ["RUN_MODE"] = "finetune"
from pathlib import Path
import mf_qwen3_patch
import mindspore
from mindformers.trainer.utils import transform_and_load_checkpoint
from tests.support.checkpoints import write_checkpoint
from tests.support.finetuning import built_network, converted_path, differing, trainer_config

first, second = (str(write_checkpoint(Path(name), seed=seed)) for seed, name in enumerate(("first", "second")))
outcomes = {}

def load(name, directory, meanwhile=None, model_config={}):
    config = trainer_config(directory, first, "out", model_config, {})
    network = built_network(config)
    try:
        path = Path(converted_path(config, network))
        if meanwhile:
            meanwhile(path)
        files = {file.name: file.stat().st_mtime_ns for file in sorted(path.iterdir())}
        transform_and_load_checkpoint(config, mindspore.Model(network), network, None)
        outcomes[name] = [differing(network, Path(directory)), files]
    except Exception as error:
        outcomes[name] = [type(error).__name__, str(error)]
    return outcomes[name][1]

def flip(path):
    file = path / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-400:] = bytes(400)  # the last rows of the last parameter
    file.write_bytes(data)

whole = load("fresh", first)
assert load("again", first) == whole
converted = Path("out/qwen3_ms_converted_weight")
weights = converted / "model.safetensors"
weights.write_bytes(weights.read_bytes()[:-1])
assert load("damaged", first) != whole
assert load("another source", second)["mf_qwen3_patch.manifest.json"] != whole["mf_qwen3_patch.manifest.json"]
switches = {"use_contiguous_weight_layout_attention": True}
load("another layout", second, model_config=switches)
load("changed between conversion and load", first, meanwhile=flip)
whole = load("after that", first)
converted.rename("out/qwen3_ms_converted_weight.partial")  # as a run leaves it that was stopped
assert load("stopped before", first)["model.safetensors"] == whole["model.safetensors"]
for file in converted.iterdir():
    file.unlink()
(converted / "precious.txt").write_text("of somebody else")
load("something else is there", first)
(converted / "precious.txt").unlink()
(converted / "model-00001-of-00001.safetensors").write_bytes(b"what MindFormers has converted earlier")
load("MindFormers' own conversion is there", first)
give(outcomes)
"""


def test_the_directory_is_made_once_and_never_trusted_if_it_is_not_this_one(tmp_path: Path) -> None:
    found = run_script(_STEPS, cwd=tmp_path).result

    changed, other = found.pop("changed between conversion and load"), found.pop("something else is there")
    assert {name: wrong for name, (wrong, _) in found.items()} == {name: [] for name in found}
    assert changed[0] == "LoadNotProven"
    assert "parameter decoder.layers.1.mlp.linear_fc2.weight does not hold what the checkpoint says" in changed[1]
    assert other[0] == "FileExistsError"
    assert "was not made by this tool" in other[1]


@pytest.mark.sweep
def test_what_no_trainer_should_load_is_refused(tmp_path: Path) -> None:
    hf = write_checkpoint(tmp_path / "hf")
    convert = (
        "import sys; from pathlib import Path; from mf_qwen3_patch.convert.to_mindformers import *;"
        "convert_to_mindformers(sys.argv[1], 'training', layout='training');"
        "convert_to_mindformers(sys.argv[1], 'lacking', layout='training');"
        "convert_to_mindformers(sys.argv[1], 'inference');"
        "convert_to_mindformers(sys.argv[1], 'ranks', ranks=2)"
    )
    run_script(f"import mf_qwen3_patch, mindformers\n{convert}", hf, cwd=tmp_path)
    _lose_a_tensor(tmp_path / "lacking" / "model.safetensors", "decoder.layers.1.mlp.linear_fc2.weight")
    names = ("training", "lacking", "inference", "ranks")
    cases: dict[str, Any] = {
        name: {"directory": tmp_path / name, "config_directory": hf, "source": hf} for name in names
    }
    cases["contiguous"] = {**cases["training"], "model_config": {"use_contiguous_weight_layout_attention": True}}
    found = outcomes(cases, tmp_path, shim=True)

    assert found["training"]["wrong"] == []
    assert found["training"]["path"] == str(tmp_path / "training")
    assert found["training"]["report"]["verification"]["parameters"] == 19
    assert found["lacking"]["error"] == "LoadNotProven"
    assert "1 of the network's 19 parameters were not loaded" in found["lacking"]["message"]
    assert "decoder.layers.1.mlp.linear_fc2.weight" in found["lacking"]["message"]
    for name in ("inference", "contiguous"):
        assert found[name]["error"] == "ConfigMismatch"
        assert "is in another layout than the network" in found[name]["message"]
    assert found["ranks"]["error"] == "UnsupportedCheckpoint"
    assert "rank_0 and its like hold the slices of ranks" in found["ranks"]["message"]
    assert not (tmp_path / "out").exists()


def _lose_a_tensor(file: Path, lost: str) -> None:
    """Take a tensor out of a converted file, whose note stays."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    begin, end = header.pop(lost)["data_offsets"]
    for entry in (entry for name, entry in header.items() if name != "__metadata__"):
        entry["data_offsets"] = [offset - (end - begin) * (offset >= end) for offset in entry["data_offsets"]]
    data = content[8 + length :]
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[:begin] + data[end:])
    assert lost not in read_safetensors(file)
