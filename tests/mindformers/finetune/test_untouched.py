"""Resumed training, directories of ranks, ``.ckpt`` files, the newer format: with the shim, the same as without it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

_SAVE = """
import os, sys
os.environ["RUN_MODE"] = "finetune"
import mindspore
from pathlib import Path
from mindspore import nn
from tests.support.finetuning import built_network, trainer_config

mindspore.set_seed(3)
network = built_network(trainer_config(sys.argv[1], None, "out", {}, {}))
network.init_parameters_data()
optimizer = nn.AdamWeightDecay(network.trainable_params())
saved = {p.name: p for p in (*network.get_parameters(), *optimizer.get_parameters())}
saved["global_step"] = mindspore.Parameter(mindspore.Tensor([7], mindspore.int32), name="global_step")
saved = [{"name": name, "data": value} for name, value in saved.items()]
os.makedirs("saved/rank_0")
mindspore.save_checkpoint(saved, "saved/rank_0/qwen3_rank_0-3_7.safetensors", format="safetensors")
mindspore.save_checkpoint(saved, "whole.safetensors", format="safetensors")
mindspore.save_checkpoint(saved, "whole.ckpt")
"""

_LOAD = """
import os, sys
os.environ["RUN_MODE"] = "finetune"
how, shim, directory = sys.argv[1:]
if shim == "True":
    import mf_qwen3_patch
import hashlib
import mindspore
from mindspore import nn
from mindformers.trainer.utils import transform_and_load_checkpoint
from mindformers.utils.load_checkpoint_utils import load_safetensors_checkpoint
from tests.support.finetuning import built_network, converted_path, trainer_config

settings = {
    "resumed": {"load_checkpoint": "whole.safetensors", "resume_training": True},
    "resumed rank directories": {"load_checkpoint": "saved", "resume_training": True},
    "rank directories": {"load_checkpoint": "saved"},
    "a file": {"load_checkpoint": "whole.safetensors"},
    "ckpt": {"load_checkpoint": "whole.ckpt", "load_ckpt_format": "ckpt"},
    # The newer format's loader; the first is what 1.9.0 calls the second.
    "newer format": {"load_checkpoint": directory, "use_legacy_format": False, "ckpt_use_legacy_format": False},
    "newer format, as before 1.9.0": {"load_checkpoint": directory, "ckpt_use_legacy_format": False},
}[how]
settings["checkpoint"] = {"load_path": settings["load_checkpoint"]}
config = trainer_config(directory, None, "out", {}, settings)
config.runner_config.step_scale = 2.0
network = built_network(config)
path = converted_path(config, network)
optimizer = nn.AdamWeightDecay(network.trainable_params())
model = mindspore.Model(network, optimizer=optimizer)
resumed = optimizer if config.resume_training else None
if path == "saved":  # the trainer's function for it asks for several ranks
    file = "saved/rank_0/qwen3_rank_0-3_7.safetensors"
    load_safetensors_checkpoint(config, [file], network, None, path, resumed)
else:
    transform_and_load_checkpoint(config, model, network, None, optimizer=resumed)
held = [*network.get_parameters(), *optimizer.get_parameters()]
network.init_parameters_data()
values = {p.name: hashlib.sha256(p.asnumpy().tobytes()).hexdigest() for p in held}
give([path, values, getattr(network, "mf_qwen3_report", None), os.path.exists("out/qwen3_ms_converted_weight")])
"""


@pytest.mark.parametrize(
    "how",
    [
        "a file",
        *(
            pytest.param(how, marks=pytest.mark.sweep)
            for how in ("resumed", "resumed rank directories", "rank directories", "ckpt")
        ),
    ],
)
def test_it_is_the_same_with_and_without_the_shim(how: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    run_script(_SAVE, directory, cwd=tmp_path)
    stock, shim = (run_script(_LOAD, how, shim, directory, cwd=tmp_path).result for shim in (False, True))

    assert shim == stock
    assert len(set(stock[1].values())) > 20, "they are all the same"
    assert stock[2:] == [None, False]


@pytest.mark.sweep
@pytest.mark.parametrize("how", ["newer format", "newer format, as before 1.9.0"])
def test_what_is_asked_of_the_newer_formats_loader_is_left_to_it(how: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf")
    stock, shim = (run_script(_LOAD, how, shim, directory, cwd=tmp_path).result for shim in (False, True))

    assert shim[:2] == stock[:2]
    assert shim[2] is None, "it was verified as the older format's loads are"
