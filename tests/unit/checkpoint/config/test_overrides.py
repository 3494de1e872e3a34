"""A YAML or keyword that agrees with the weights is fine; one that contradicts them is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.checkpoints import edit_config, write_checkpoint

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.config.mindformers_yaml import read_yaml
from mf_qwen3_patch.errors import ConfigMismatch


def test_overrides_that_agree_are_fine_under_any_name(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    overrides = {"hidden_size": 80, "num_layers": 2, "num_heads": 4, "n_kv_heads": 2, "ffn_hidden_size": 96}
    result = preflight(tmp_path, overrides={**overrides, "kv_channels": 32, "vocab_size": None})
    assert (result.problems, result.warnings) == ((), ())
    assert "num_layers" not in result.config
    assert result.config["num_hidden_layers"] == 2


def test_keys_of_mindformers_pass_through(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    result = preflight(tmp_path, overrides={"compute_dtype": "float32", "params_dtype": "float32"})
    assert result.problems == ()
    assert result.config["compute_dtype"] == "float32"


def test_a_contradiction_names_the_yaml_both_values_the_tensor_and_the_cure(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    result = preflight(tmp_path, overrides={"hidden_size": 4096}, overrides_source="predict_qwen3_14b.yaml")
    (problem,) = result.problems
    assert problem.kind is ConfigMismatch
    assert "predict_qwen3_14b.yaml says hidden_size: 4096, but the weights say 80" in problem.summary
    assert (problem.file, problem.tensor, problem.field) == (
        "model.safetensors",
        "model.embed_tokens.weight",
        "hidden_size",
    )
    assert "remove hidden_size from predict_qwen3_14b.yaml" in str(problem.advice)


def test_an_override_can_mend_a_wrong_config(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    edit_config(tmp_path, hidden_size="80", num_attention_heads=8)
    assert len(preflight(tmp_path).problems) == 2
    result = preflight(tmp_path, overrides={"hidden_size": 80, "num_heads": 4})
    assert result.problems == ()
    assert result.dims.num_attention_heads == 4


def test_what_the_weights_cannot_confirm_is_said(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    result = preflight(tmp_path, overrides={"theta": 10000.0})
    assert result.problems == ()
    assert result.config["rope_theta"] == 10000.0
    assert len(result.warnings) == 1
    assert "theta" in result.warnings[0]
    assert "10000.0" in result.warnings[0]
    assert "1000000" in result.warnings[0]


def test_a_yaml_is_read(tmp_path: Path) -> None:
    path = tmp_path / "predict.yaml"
    path.write_text(
        "use_parallel: True\n"
        "parallel_config: {model_parallel: 2}\n"
        "model:\n  model_config: {num_layers: 2, params_dtype: bfloat16}\n"
        "context: {max_device_memory: 59GB}\n"
    )
    settings = read_yaml(path)
    assert settings.source == "predict.yaml"
    assert settings.overrides == {"num_layers": 2, "params_dtype": "bfloat16"}
    assert settings.tensor_parallel == 2
    assert settings.device_memory == 59 * 1024**3


def test_model_parallel_counts_only_with_use_parallel(tmp_path: Path) -> None:
    path = tmp_path / "predict.yaml"
    path.write_text("use_parallel: False\nparallel_config: {model_parallel: 8}\n")
    assert read_yaml(path).tensor_parallel == 1


def _alias_bomb(of_the_last: str, first: str = "x") -> str:
    """Each of twelve values holds the one before eight times."""
    values = [first, *(of_the_last.format(number) for number in range(11))]
    return "model:\n  model_config:\n" + "".join(f"    k{i}: &a{i} {value}\n" for i, value in enumerate(values))


@pytest.mark.parametrize(
    "text",
    [
        "- a\n- b\n",
        "model: 3\n",
        "model: {model_config: [1]}\n",
        "a: [\n",
        "use_parallel: True\nparallel_config: {model_parallel: many}\n",
        "!!python/object/apply:os.system ['true']\n",
        "\x00",
        "model: &again {model_config: *again}\n",
        "[" * 100_000,
        _alias_bomb("[*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]"),
        _alias_bomb("{{<<: [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]}}", first="{x: 1}"),
        "a" * 10_000_001,
    ],
    ids=lambda text: text[:20],
)
def test_a_bad_yaml_is_our_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigMismatch, match=r"bad\.yaml"):
        read_yaml(path)


def test_anchors_as_the_shipped_yamls_have_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "predict.yaml"
    path.write_text("a: &dtype bfloat16\nmodel: {model_config: {compute_dtype: *dtype, rotary_dtype: *dtype}}\n")
    assert read_yaml(path).overrides == {"compute_dtype": "bfloat16", "rotary_dtype": "bfloat16"}


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigMismatch, match="is not a file"):
            read_yaml(path)
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "absent.yaml")
