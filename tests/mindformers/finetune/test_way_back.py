"""What a trainer saves becomes a HuggingFace directory again, with the values that the trained network holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.checkpoints import TINY_MOE, decode, read_safetensors, write_checkpoint
from tests.support.processes import run_script

_TRAIN_AND_SAVE = """
import os, sys
os.environ["RUN_MODE"] = "finetune"
from pathlib import Path
import mf_qwen3_patch
import mindspore
import numpy as np
from mindformers.trainer.utils import transform_and_load_checkpoint
from mindspore import nn
from tests.support.finetuning import built_network, converted_path, trainer_config

directory, switches = sys.argv[1], eval(sys.argv[2])
config = trainer_config(directory, None, "out", switches, {})
network = built_network(config)
converted_path(config, network)
transform_and_load_checkpoint(config, mindspore.Model(network), network, None)
network.init_parameters_data()
optimizer = nn.SGD(network.trainable_params(), learning_rate=0.5, momentum=0.9)
gradients = tuple(
    mindspore.Tensor(np.random.default_rng(number).standard_normal(parameter.shape, np.float32))
    for number, parameter in enumerate(network.trainable_params())
)
for _ in range(2):
    optimizer(gradients)
saved = [{"name": p.name, "data": p} for p in (*network.get_parameters(), *optimizer.get_parameters())]
os.mkdir("saved")
mindspore.save_checkpoint(list({entry["name"]: entry for entry in saved}.values()), "saved/trained.safetensors", format="safetensors")
give({parameter.name: float(np.abs(parameter.asnumpy()).sum()) for parameter in network.trainable_params()})
"""


@pytest.mark.parametrize(
    ("model", "switches", "options"),
    [
        ({}, {}, []),
        pytest.param({"tie": True}, {}, [], marks=pytest.mark.sweep),
        pytest.param(TINY_MOE, {}, [], marks=pytest.mark.sweep),
        pytest.param(
            {},
            {"use_contiguous_weight_layout_attention": True, "use_interleaved_weight_layout_mlp": False},
            ["--contiguous-attention", "--contiguous-mlp"],
            marks=pytest.mark.sweep,
        ),
    ],
    ids=["dense", "tied", "moe", "contiguous"],
)
def test_the_exported_weights_are_the_trained_ones(
    model: dict[str, Any], switches: dict[str, Any], options: list[str], tmp_path: Path
) -> None:
    directory = write_checkpoint(tmp_path / "hf", shards=2, **model)
    sums = run_script(_TRAIN_AND_SAVE, directory, switches, cwd=tmp_path).result
    export = "import sys; from mf_qwen3_patch.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["export", "saved", "back", "--layout", "training", "--config", directory, *options]
    run_script(export, *command, cwd=tmp_path)
    load = """
    import sys
    import mf_qwen3_patch
    from mindformers import AutoModel
    model = AutoModel.from_pretrained(sys.argv[1])
    give([len(list(model.get_parameters())), model.mf_qwen3_report.verification.compared])
    """
    parameters, compared = run_script(load, tmp_path / "back", cwd=tmp_path).result

    original = {}
    for file in sorted(directory.glob("*.safetensors")):
        original |= {name: decode(raw) for name, raw in read_safetensors(file).items()}
    back = {name: decode(raw) for name, raw in read_safetensors(tmp_path / "back" / "model.safetensors").items()}
    assert back.keys() == original.keys()
    assert all(back[name].shape == original[name].shape for name in original)
    assert not [name for name in original if np.array_equal(back[name], original[name])], "not trained"
    total = sum(float(np.abs(values).sum()) for values in back.values())
    assert total == pytest.approx(sum(sums.values()), rel=1e-5)
    assert parameters == len(sums)
    assert compared.startswith("bit for bit")
