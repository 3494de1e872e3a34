"""The places in stock MindFormers that call ``convert_weight_dict`` on an inference model, each for real."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

# A file, not ``-c``: a spawned child runs the main module again.
_SCRIPT = """
import json, multiprocessing, os, sys
from pathlib import Path
import mf_qwen3_patch

def main():
    import mindspore
    import numpy as np
    from mindformers import AutoConfig, AutoModel
    from mindformers.models.qwen3 import Qwen3ForCausalLM
    from mindformers.tools.register import MindFormerConfig
    from mindformers.trainer.utils import transform_and_load_checkpoint
    from mindformers.utils.load_checkpoint_utils import get_load_path_after_hf_convert, load_safetensors_checkpoint

    mf_qwen3_patch.enable_cpu_kernels()
    directory, start_method = sys.argv[1:]
    multiprocessing.set_start_method(start_method)
    reference = AutoModel.from_pretrained(directory, torch_dtype="float32")
    expected = {p.name: p.value().asnumpy() for p in reference.get_parameters()}
    tokens = lambda model: model.generate([[5, 6, 7]], max_new_tokens=6, do_sample=False)[0].tolist()

    def network():
        dtypes = dict.fromkeys(("params_dtype", "compute_dtype", "rotary_dtype"), "float32")
        return Qwen3ForCausalLM(AutoConfig.from_pretrained(directory, seq_length=512, **dtypes))

    def config(**model_config):
        return MindFormerConfig(
            load_checkpoint=directory, checkpoint={"load_path": directory},  # as 1.9.0 calls it
            load_ckpt_format="safetensors", output_dir="converted", use_parallel=False,
            auto_trans_ckpt=False, resume_training=False, remove_redundancy=False, context={"mode": 1},
            parallel={"parallel_mode": "MANUAL_PARALLEL"}, model={"model_config": model_config},
        )

    def outcome(model):
        found = {p.name: p.value().asnumpy() for p in model.get_parameters()}
        wrong = [name for name in expected if not np.array_equal(found[name], expected[name])]
        return [len(found), wrong, tokens(model) == tokens(reference)]

    outcomes = {}
    model = network()
    transform_and_load_checkpoint(config(), mindspore.Model(model), model, None, do_predict=True)
    outcomes["transform_and_load_checkpoint"] = outcome(model)

    model = network()
    files = sorted(map(str, Path(directory).glob("*.safetensors")))
    load_safetensors_checkpoint(config(), files, model, None, directory, None)
    outcomes["load_safetensors_checkpoint"] = outcome(model)

    model = network()
    model.config.qkv_concat = True
    path = get_load_path_after_hf_convert(config(qkv_concat=True), model)
    model.load_weights(path)
    outcomes["get_load_path_after_hf_convert"] = outcome(model)

    os.remove(sorted(Path(path).glob("*.safetensors"))[0])
    model = network()
    try:
        model.load_weights(path)
    except mf_qwen3_patch.IncompleteCheckpoint as error:
        outcomes["a converted file is lost"] = str(error)
    Path("outcomes.json").write_text(json.dumps(outcomes))

if __name__ == "__main__":
    main()
"""

_RIGHT = [19, [], True]


@pytest.mark.parametrize(
    ("dtype", "start_method"), [("F32", "fork"), pytest.param("BF16", "spawn", marks=pytest.mark.sweep)]
)
def test_each_path_loads_what_from_pretrained_loads(dtype: str, start_method: str, tmp_path: Path) -> None:
    # Three shards: the parts of one merged parameter lie in different files.
    directory = write_checkpoint(tmp_path / "hf", dtype=dtype, shards=3)
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)

    launch = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]))"
    run_script(launch, script, directory, start_method, cwd=tmp_path)
    found = json.loads((tmp_path / "outcomes.json").read_text())

    lost = found.pop("a converted file is lost")
    assert re.search(r"model-0000\d-of-00003\.safetensors is not there", lost)
    assert found == dict.fromkeys(
        ("transform_and_load_checkpoint", "load_safetensors_checkpoint", "get_load_path_after_hf_convert"), _RIGHT
    )
