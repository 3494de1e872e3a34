"""Every published Qwen3, at full size: config.json, the names, the preflight and ``check``."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import pytest
from tests.support.checkpoints import edit_config, tensor_shapes, write_sparse_checkpoint
from tests.support.shapes import DENSE, MIXTURES, PUBLISHED, PUBLISHED_BYTES, reduced

from mf_qwen3_patch.checkpoint.checks.preflight import preflight
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.cli.main import main
from mf_qwen3_patch.families.published import published_name


@pytest.mark.parametrize("name", PUBLISHED)
def test_config_json_is_taken_as_it_is(name: str) -> None:
    config = normalize(PUBLISHED[name])
    assert (config.problems, config.warnings, config.absent) == ((), (), frozenset())
    assert {key: config.values[key] for key in PUBLISHED[name].keys() & config.values.keys()}.items() <= dict(
        PUBLISHED[name]
    ).items()
    assert config.family.expected_tensors(config.dims) == tensor_shapes(PUBLISHED[name])


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_it_will_load_on_any_usual_number_of_ranks(name: str, ranks: int, tmp_path: Path) -> None:
    config = PUBLISHED[name]
    result = preflight(write_sparse_checkpoint(tmp_path, shards=3, **config), tensor_parallel=ranks)
    assert result.problems == ()
    assert result.memory.parameters == sum(map(prod, tensor_shapes(config).values()))
    assert result.memory.dtype == "bfloat16"
    # Too little memory on this machine is all that may be said.
    assert [text for text in result.warnings if "host memory" not in text] == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_check_says_so(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_sparse_checkpoint(tmp_path, shards=3, **PUBLISHED[name])
    assert main(["check", str(directory), "--tp", "8", "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["loadable"] is True
    assert output["problems"] == []


@pytest.mark.parametrize("name", ["Qwen3-0.6B", "Qwen3-1.7B"])
def test_a_tied_model_may_store_its_output_layer_too(name: str, tmp_path: Path) -> None:
    """The published files of the two smallest do."""
    directory = write_sparse_checkpoint(tmp_path, shards=2, **(PUBLISHED[name] | {"tie_word_embeddings": False}))
    edit_config(directory, tie_word_embeddings=True)
    result = preflight(directory)
    assert result.problems == ()
    assert "lm_head.weight" in result.checkpoint.tensors


@pytest.mark.parametrize("name", PUBLISHED_BYTES)
def test_the_table_has_the_published_sizes(name: str, tmp_path: Path) -> None:
    directory = write_sparse_checkpoint(tmp_path, shards=1, **PUBLISHED[name])
    tensors = preflight(directory).checkpoint.tensors.values()
    assert sum(tensor.nbytes for tensor in tensors) == PUBLISHED_BYTES[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_another_model_of_the_family_is_not_mistaken_for_it(name: str, tmp_path: Path) -> None:
    """The wrong config.json beside the weights, of a model that has other weights."""
    for other, config in (MIXTURES if name in MIXTURES else DENSE).items():
        if tensor_shapes(config) == tensor_shapes(PUBLISHED[name]):
            continue
        directory = write_sparse_checkpoint(tmp_path / other, shards=1, **PUBLISHED[name])
        (directory / "config.json").write_text(json.dumps(dict(config)))
        assert preflight(directory).problems, other


@pytest.mark.parametrize("name", DENSE)
def test_the_reduced_width_keeps_what_makes_the_shape(name: str) -> None:
    full, small = DENSE[name], reduced(name, head_dim=16)

    def ratios(config: Any) -> tuple[float, ...]:
        heads = config["num_attention_heads"]
        return (
            heads / config["num_key_value_heads"],
            config["hidden_size"] / (heads * config["head_dim"]),
            config["intermediate_size"] / config["hidden_size"],
        )

    assert ratios(small) == ratios(full)
    assert small["tie_word_embeddings"] is full["tie_word_embeddings"]
    assert small["rope_theta"] == full["rope_theta"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_known_by_its_dimensions(name: str) -> None:
    config = normalize(dict(PUBLISHED[name]))
    assert published_name(config.dims) == name.replace("-Instruct-2507", "").replace("-Thinking-2507", "")
    assert published_name(replace(config.dims, hidden_size=80)) is None


def test_the_config_of_another_model_is_named(tmp_path: Path) -> None:
    directory = write_sparse_checkpoint(tmp_path, shards=1, **PUBLISHED["Qwen3-14B"])
    (directory / "config.json").write_text(json.dumps(dict(PUBLISHED["Qwen3-8B"])))
    problems = preflight(directory).problems

    assert len(problems) > 2
    for problem in problems:
        assert "config.json is the config of Qwen3-8B, and the weights are those of Qwen3-14B" in str(problem.advice)


def test_one_wrong_field_is_no_other_model(tmp_path: Path) -> None:
    directory = write_sparse_checkpoint(tmp_path, shards=1, **(PUBLISHED["Qwen3-8B"] | {"num_hidden_layers": 35}))
    edit_config(directory, num_hidden_layers=36)
    (problem,) = preflight(directory).problems

    assert problem.advice == "set num_hidden_layers: 35 in config.json, or use the weights that belong to it"
