"""``from_pretrained`` on a HuggingFace Qwen3 directory, from every kind of script."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM
from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM
from mindformers.models.qwen3.modeling_qwen3_train import TrainingQwen3ForCausalLM
from tests.support.checkpoints import Tensors, edit_weights, make_config, write_checkpoint, zeros
from tests.support.processes import ROOT, run_script

import mf_qwen3_patch
from mf_qwen3_patch import CheckpointError, CheckpointWarning
from mindformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

CLASSES = (AutoModel, AutoModelForCausalLM, Qwen3ForCausalLM, InferenceQwen3ForCausalLM)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hf"))


@pytest.mark.parametrize("cls", CLASSES)
def test_every_class_returns_a_loaded_inference_model(cls: type, directory: Path) -> None:
    model = cls.from_pretrained(str(directory))

    assert type(model) is InferenceQwen3ForCausalLM
    assert all(parameter.asnumpy().any() for parameter in model.get_parameters())
    assert len(model.generate([[5, 6, 7]], max_new_tokens=3, do_sample=False)[0]) == 6


@pytest.mark.parametrize(
    "call",
    [
        lambda cls, path: cls.from_pretrained(path),
        lambda cls, path: cls.from_pretrained(str(path)),
        lambda cls, path: cls.from_pretrained(pretrained_model_name_or_path=str(path)),
        lambda cls, path: cls.from_pretrained(pretrained_model_name_or_dir=path),
        lambda cls, path: cls.from_pretrained(path, auto_convert=True),
    ],
    ids=["PathLike", "str", "by transformers' keyword", "by MindFormers' keyword", "auto_convert=True"],
)
def test_every_way_to_name_the_directory(call: object, directory: Path) -> None:
    assert type(call(AutoModel, directory)) is InferenceQwen3ForCausalLM  # type: ignore[operator]


# What a script has done before it calls from_pretrained.
BEFORE = {
    "nothing": "",
    "RUN_MODE set": "import os; os.environ['RUN_MODE'] = 'predict'",
    "context built": (
        "from mindformers import build_context; build_context({'use_legacy': False, 'run_mode': 'predict', "
        "'context': {'mode': 1, 'device_target': 'CPU'}, 'parallel': {}})"
    ),
    "legacy context built": (
        "from mindformers import build_context; build_context({'context': {'mode': 1, 'device_target': 'CPU'}, 'parallel': {}})"
    ),
}


@pytest.mark.parametrize("before", BEFORE)
def test_every_kind_of_script_gets_a_model_that_generates(before: str, directory: Path, tmp_path: Path) -> None:
    script = f"""
import mf_qwen3_patch, sys
mf_qwen3_patch.enable_cpu_kernels()
{BEFORE[before]}
from mindformers import AutoModel
model = AutoModel.from_pretrained(sys.argv[1])
give([type(model).__name__, [model.generate([[5, 6, 7]], max_new_tokens=4, do_sample=False)[0].tolist() for _ in range(2)]])
"""
    name, (first, second) = run_script(script, directory, cwd=tmp_path).result

    assert name == "InferenceQwen3ForCausalLM"
    assert first == second
    assert first[:3] == [5, 6, 7]
    assert len(first) == 7


def test_without_the_stand_ins_one_line_says_that_generate_will_fail(directory: Path, tmp_path: Path) -> None:
    script = """
        import mf_qwen3_patch, sys
        from mindformers import AutoModel
        model = AutoModel.from_pretrained(sys.argv[1])
        try:
            model.generate([[5, 6, 7]], max_new_tokens=4, do_sample=False)
        except TypeError as error:
            give(str(error).splitlines()[0])
    """
    finished = run_script(script, directory, cwd=tmp_path)
    (line,) = [line for line in finished.output.splitlines() if "generate() will fail on this CPU" in line]

    assert line.startswith("mf_qwen3_patch: ")
    assert "MF_QWEN3_PATCH_CPU=1 or call mf_qwen3_patch.enable_cpu_kernels()" in line
    assert finished.result.startswith("For primitive[ApplyRotaryPosEmb]")
    assert (
        finished.result.removesuffix(", but got Tensor[Float32].") in (ROOT / "docs" / "troubleshooting.md").read_text()
    )


def test_a_training_run_is_left_to_stock(directory: Path, tmp_path: Path) -> None:
    script = """
        import mf_qwen3_patch, sys
        from mindformers import AutoModel
        try:
            AutoModel.from_pretrained(sys.argv[1])
        except Exception as error:
            give([type(error).__name__, str(error)])
    """
    error = run_script(script, directory, cwd=tmp_path, env={"RUN_MODE": "finetune"}).result

    assert error[0] == "RuntimeError"
    assert "experimental mode" in error[1]


@pytest.mark.parametrize("cls", [AutoModel, AutoModelForCausalLM, AutoConfig])
def test_auto_convert_false_means_stock(cls: type, directory: Path) -> None:
    with pytest.raises(RuntimeError, match="experimental mode") as error:
        cls.from_pretrained(str(directory), auto_convert=False)

    assert not isinstance(error.value, CheckpointError)


def test_the_training_class_is_left_to_stock(directory: Path) -> None:
    with pytest.raises(Exception) as error:  # noqa: PT011 - whatever stock raises
        TrainingQwen3ForCausalLM.from_pretrained(str(directory))

    assert not isinstance(error.value, CheckpointError)


def test_a_directory_that_is_not_qwen3_goes_to_stock_untouched(tmp_path: Path) -> None:
    llama = tmp_path / "llama"
    llama.mkdir()
    (llama / "config.json").write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "num_layers": 2}))
    script = """
        import sys
        if sys.argv[2] == "shim":
            import mf_qwen3_patch
        from mindformers import AutoConfig, AutoModel
        results = []
        for call in (lambda: type(AutoConfig.from_pretrained(sys.argv[1])).__name__,
                     lambda: type(AutoModel.from_pretrained(sys.argv[1])).__name__,
                     lambda: AutoModel.from_pretrained("no_such_model"),
                     lambda: AutoModel.from_pretrained(7),
                     lambda: AutoModel.from_pretrained()):
            try:
                results.append(call())
            except Exception as error:
                results.append([type(error).__name__, str(error)[:60]])
        give(results)
    """
    stock, shim = (run_script(script, llama, who, cwd=tmp_path).result for who in ("stock", "shim"))

    assert stock[0] == "LlamaConfig"
    assert [r[0] if isinstance(r, list) else r for r in shim] == [r[0] if isinstance(r, list) else r for r in stock]
    assert shim[:4] == stock[:4]


def test_auto_config_reads_config_json(directory: Path) -> None:
    config = AutoConfig.from_pretrained(directory)

    assert type(config) is Qwen3Config
    expected = make_config()
    for field in (
        "hidden_size",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "rope_theta",
        "rms_norm_eps",
    ):
        assert getattr(config, field) == expected[field]
    assert AutoConfig.from_pretrained(directory, seq_length=77).seq_length == 77


@pytest.mark.parametrize("dialect", ["4.51", "4.57", "5"])
def test_config_json_of_every_transformers_release_makes_the_same_model(dialect: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", dialect=dialect)
    model = AutoModel.from_pretrained(path)

    assert model.config.rope_theta == 1000000
    assert model.config.hidden_size == make_config()["hidden_size"]


@pytest.mark.parametrize(
    ("dtype", "requested", "expected"),
    [
        ("F32", None, mindspore.float32),
        ("F16", None, mindspore.float16),
        ("BF16", None, mindspore.float32),  # no bfloat16 kernels on the CPU
        ("F32", "float16", mindspore.float16),
        ("BF16", "auto", mindspore.float32),
        ("BF16", mindspore.float16, mindspore.float16),
        ("F32", "bfloat16", mindspore.bfloat16),
    ],
)
def test_the_parameters_dtype(dtype: str, requested: object, expected: object, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", dtype=dtype)
    model = AutoModel.from_pretrained(path, torch_dtype=requested)

    dtypes = {p.name: p.dtype for p in model.get_parameters()}
    assert dtypes["embedding.word_embeddings.weight"] == expected
    assert dtypes["decoder.layers.0.self_attention.linear_qkv.weight"] == expected
    assert dtypes["decoder.final_layernorm.weight"] == mindspore.float32


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("tie", [False, True])
def test_single_file_or_shards_tied_or_not(shards: int, tie: bool, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", shards=shards, tie=tie)
    model, info = AutoModel.from_pretrained(path, output_loading_info=True)

    names = {p.name for p in model.get_parameters()}
    assert ("output_layer.weight" in names) is not tie
    assert info["missing_keys"] == []
    assert info["unexpected_keys"] == []
    assert model.mf_qwen3_report.parameters == len(names)
    assert len(model.mf_qwen3_report.files) == shards


def test_the_model_directory_is_not_written_to(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf")
    before = {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in path.iterdir()}
    AutoModel.from_pretrained(path)

    assert {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in path.iterdir()} == before


def test_a_keyword_that_contradicts_the_weights_is_one_clear_error(directory: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        AutoModel.from_pretrained(directory, hidden_size=64)

    for fact in ("hidden_size", "64", "80", "model.embed_tokens.weight", "model.safetensors"):
        assert fact in str(error.value)


def test_the_report_says_what_was_warned_of(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "hf", tie=True)

    def spoil(tensors: Tensors) -> None:
        tensors["extra.weight"] = zeros(4)
        tensors["model.norm.weight"] = zeros(80)

    edit_weights(path, spoil)
    with pytest.warns(CheckpointWarning) as caught:
        model = AutoModel.from_pretrained(path)

    report = model.mf_qwen3_report
    warned = {str(w.message) for w in caught if w.category is CheckpointWarning}
    assert warned == {str(CheckpointWarning(text)) for text in report.warnings}
    assert any("extra.weight" in text for text in report.warnings)
    assert any("model.norm.weight" in text for text in report.warnings)
    assert report.ignored == {"extra.weight": "Qwen3 has no such parameter"}
    assert json.loads(report.to_json())["warnings"] == list(report.warnings)
    assert "extra.weight" in str(report)


def test_two_models_live_side_by_side(tmp_path: Path) -> None:
    small, large = (write_checkpoint(tmp_path / name, hidden_size=size) for name, size in (("a", 64), ("b", 96)))
    first, second = AutoModel.from_pretrained(small), AutoModel.from_pretrained(large)
    prompts = [[5, 6, 7]]
    alone = first.generate(prompts, max_new_tokens=4, do_sample=False)[0]
    second.generate(prompts, max_new_tokens=4, do_sample=False)

    np.testing.assert_array_equal(first.generate(prompts, max_new_tokens=4, do_sample=False)[0], alone)


@pytest.mark.parametrize("cls", [AutoModel, AutoModelForCausalLM, AutoConfig, AutoTokenizer, Qwen3ForCausalLM])
def test_signature_and_documentation_are_stocks(cls: type) -> None:
    ours = cls.from_pretrained
    mf_qwen3_patch.deactivate()
    try:
        stock = cls.from_pretrained
    finally:
        mf_qwen3_patch.activate()

    assert ours.__func__ is not stock.__func__
    assert cls.from_pretrained.__func__ is not stock.__func__
    assert inspect.signature(ours) == inspect.signature(stock)
    assert (ours.__name__, ours.__doc__) == (stock.__name__, stock.__doc__)
