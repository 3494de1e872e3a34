"""``mindspore.load_checkpoint(format="safetensors")``: named Parameters on every call form; ``.ckpt`` untouched."""

from __future__ import annotations

import importlib
import inspect
import pickle
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor
from mindspore.common import np_dtype
from tests.support.checkpoints import write_checkpoint
from tests.support.processes import run_script

from mf_qwen3_patch import CorruptCheckpoint

# Every module of MindSpore and MindFormers that binds the function, by reading their sources.
RE_EXPORTS = (
    "mindspore",
    "mindspore.train",
    "mindspore.train.serialization",
    "mindspore.train.callback._backup_and_restore",
    "mindspore.train.callback._landscape",
    "mindspore.train.callback._on_request_exit",
    "mindspore.boost.base",
    "mindspore.safeguard.rewrite_obfuscation",
    "mindformers.trainer.trainer",
    "mindformers.trainer.utils",
    "mindformers.models.base_model",
    "mindformers.models.modeling_utils",
    "mindformers.utils.resume_ckpt_utils",
)


@pytest.fixture(scope="module", params=["F32", "F16", "BF16"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_checkpoint(tmp_path_factory.mktemp("hf"), dtype=request.param) / "model.safetensors")


class Net(mindspore.nn.Cell):
    def __init__(self) -> None:
        super().__init__()
        self.norm = Parameter(Tensor(np.zeros(80, np.float32)), name="model.norm.weight")


CALLS = {
    "keyword": lambda file: mindspore.load_checkpoint(file, format="safetensors"),
    "all keywords": lambda file: mindspore.load_checkpoint(ckpt_file_name=file, format="safetensors"),
    "positional": lambda file: mindspore.load_checkpoint(
        file, None, False, None, None, "AES-GCM", None, None, False, False, "safetensors"
    ),
    "choice_func": lambda file: mindspore.load_checkpoint(
        file, choice_func=lambda name: "q_proj" in name, format="safetensors"
    ),
    "net": lambda file: mindspore.load_checkpoint(file, net=Net(), format="safetensors"),
    "async": lambda file: mindspore.load_checkpoint_async(file).result(),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_call_form_returns_parameters_named_by_their_key(file: str, call: str) -> None:
    loaded = CALLS[call](file)

    assert loaded
    assert all(isinstance(value, Parameter) for value in loaded.values())
    assert all(value.name == name for name, value in loaded.items())
    assert all(value.requires_grad for value in loaded.values())
    if call == "choice_func":
        assert {name.split(".")[-2] for name in loaded} == {"q_proj"}


def test_the_network_passed_in_is_loaded(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf") / "model.safetensors"
    net = Net()

    loaded = mindspore.load_checkpoint(str(path), net=net, format="safetensors")

    np.testing.assert_array_equal(net.norm.asnumpy(), loaded["model.norm.weight"].asnumpy())
    assert net.norm.asnumpy().any()


@pytest.mark.parametrize("mode", ["predict", "finetune"])
def test_programs_that_train_get_what_stock_gives(mode: str, tmp_path: Path) -> None:
    """The same networks, trainable parameters, saved files and errors as without the shim."""
    script = """
        import copy, pickle, sys
        if sys.argv[1] == "shim":
            import mf_qwen3_patch
        import mindspore, numpy as np
        from mindspore import Parameter, Tensor, nn

        for file, value in (("a", 1.0), ("b", 2.0)):
            weights = [{"name": "w", "data": Tensor(np.full(2, value, np.float32))}]
            mindspore.save_checkpoint(weights, file + ".safetensors", format="safetensors")
            mindspore.save_checkpoint(weights, file + ".ckpt")

        def load(file):
            return mindspore.load_checkpoint(file, format="safetensors")

        class Two(nn.Cell):
            def __init__(self):
                super().__init__()
                self.x, self.y = load("a.safetensors")["w"], load("b.safetensors")["w"]

        two = Two()
        mindspore.save_checkpoint(two, "two.safetensors", format="safetensors")
        saved = {name: value.asnumpy().tolist() for name, value in load("two.safetensors").items()}
        single = load("a.safetensors")["w"]
        copies = [copy.deepcopy(single), pickle.loads(pickle.dumps(single))]
        try:
            load("a.ckpt")
        except ValueError as error:
            refused = str(error)
        give([
            [[parameter.name, parameter.requires_grad, type(parameter).__name__] for parameter in two.get_parameters()],
            len(two.trainable_params()),
            saved,
            [[type(one) is type(Two().x), one.requires_grad, one.asnumpy().tolist()] for one in copies],
            refused,
            [single.name] + [one.name for one in copies] if sys.argv[1] == "shim" else None,
        ])
    """
    results = []
    for who in ("stock", "shim"):
        place = tmp_path / who
        place.mkdir()
        *rest, names = run_script(script, who, cwd=place, env={"RUN_MODE": mode}).result
        results.append(rest)
    assert results[0] == results[1]
    assert all(name.startswith("Parameter#") for name in names) if mode == "finetune" else names == ["w", "w", "w"]


@pytest.mark.parametrize("module", RE_EXPORTS)
def test_every_re_export_is_the_same_function(module: str) -> None:
    assert importlib.import_module(module).load_checkpoint is mindspore.load_checkpoint


def test_it_looks_like_the_original() -> None:
    function = mindspore.load_checkpoint

    assert list(inspect.signature(function).parameters)[:3] == ["ckpt_file_name", "net", "strict_load"]
    assert "Load checkpoint info from a specified file" in function.__doc__
    assert function.__module__ == "mindspore.train.serialization"
    assert pickle.loads(pickle.dumps(function)) is function


def test_wrong_calls_fail_as_before() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        mindspore.load_checkpoint("x.ckpt", no_such_argument=1)
    with pytest.raises(ValueError, match="does not exist"):
        mindspore.load_checkpoint("no_such.safetensors", format="safetensors")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])

    with pytest.raises(CorruptCheckpoint, match=r"model\.safetensors is truncated: 10 bytes"):
        mindspore.load_checkpoint(str(path), format="safetensors")


def test_ckpt_files_load_as_they_did(tmp_path: Path) -> None:
    script = """
        import sys
        if sys.argv[1] == "shim":
            import mf_qwen3_patch
        import mindspore, numpy as np
        from mindspore import Parameter, Tensor
        net = mindspore.nn.Cell()
        net.w = Parameter(Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), name="w")
        net.h = Parameter(Tensor(np.ones(3), mindspore.bfloat16), name="h", requires_grad=False)
        mindspore.save_checkpoint(net, "net.ckpt", append_dict={"epoch": 3, "note": "text"})
        loaded = mindspore.load_checkpoint("net.ckpt")
        give([[k, type(v).__name__, str(v), getattr(v, "name", None), getattr(v, "requires_grad", None),
               v.asnumpy().tobytes().hex() if hasattr(v, "asnumpy") else v] for k, v in loaded.items()])
    """
    results = []
    for who in ("stock", "shim"):
        directory = tmp_path / who
        directory.mkdir()
        results.append(run_script(script, who, cwd=directory).result)

    assert results[0] == results[1]
    assert len(results[0]) == 4


def test_bfloat16_keeps_its_bits(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", dtype="BF16") / "model.safetensors"
    loaded = mindspore.load_checkpoint(str(path), format="safetensors")["model.norm.weight"]

    assert loaded.dtype == mindspore.bfloat16
    raw = path.read_bytes()
    assert loaded.asnumpy().view(np_dtype.bfloat16).tobytes() in raw
