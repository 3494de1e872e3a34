"""Yarn: MindFormers' tables of sines and cosines are HuggingFace's, in every model of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mindformers.parallel_core.inference.base_models.common.embeddings.rope_utils import get_rope
from tests.support.checkpoints import make_config, read_json, write_checkpoint

from mf_qwen3_patch import CheckpointWarning
from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.loading.runtime.network import build_config, build_model
from mindformers import AutoConfig, AutoModel

FLOAT32 = {"params_dtype": "float32", "compute_dtype": "float32", "rotary_dtype": "float32"}
TOLERANCE = 1e-5
# Frequencies are powers, in float32: two libraries may differ in the last bit, which grows with the position.
LAST_BIT = 2.0**-22


def config_json(factor: float = 4.0, original: int = 256, **settings: Any) -> dict[str, Any]:
    scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original, **settings}
    return make_config(max_position_embeddings=int(factor * original), rope_scaling=scaling)


def angles(model: Any) -> tuple[np.ndarray, np.ndarray]:
    table = model.model.rotary_pos_emb
    return table.cos_cache.asnumpy(), table.sin_cache.asnumpy()


def build(raw: dict[str, Any]) -> Any:
    return build_model(build_config(normalize(raw).values | FLOAT32 | {"seq_length": 128}))


@pytest.mark.oracle
@pytest.mark.parametrize(
    "raw",
    [
        config_json(original=32768, beta_fast=32.0),
        config_json(original=32768) | {"head_dim": 128, "rope_theta": 5000000.0},
        config_json(factor=2.0, original=4096, beta_fast=24.0, beta_slow=2.0),
        config_json(factor=1.5, original=1000),
        config_json(factor=1.0),
        config_json(attention_factor=1.0),
        config_json(attention_factor=0.8, beta_slow=3.0),
        config_json(mscale=0.7, mscale_all_dim=1.3),
        config_json(mscale=0.7),
        make_config(rope_scaling={"type": "yarn", "factor": 4.0}),
    ],
    ids=lambda raw: str({k: v for k, v in raw["rope_scaling"].items() if k not in ("rope_type", "type")}),
)
def test_every_setting_gives_the_angles_of_transformers(raw: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch", reason="needs torch (extra `oracle`)")
    from transformers import Qwen3Config
    from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

    cos, sin = angles(build(raw))
    oracle = Qwen3RotaryEmbedding(Qwen3Config(**raw))
    # transformers 4.51 scales max_position_embeddings if there is no original length; so long the table is.
    positions = torch.arange(len(cos))[None]
    expected_cos, expected_sin = (table[0].numpy() for table in oracle(torch.zeros(1), positions))
    angle = np.tile(np.outer(positions[0].numpy(), oracle.inv_freq.numpy()), 2)

    assert len(cos) >= raw["max_position_embeddings"]
    assert (np.abs(cos - expected_cos) <= TOLERANCE + LAST_BIT * angle).all()
    assert (np.abs(sin - expected_sin) <= TOLERANCE + LAST_BIT * angle).all()


def test_a_second_model_has_its_own_angles() -> None:
    first, second, plain = build(config_json()), build(config_json(beta_fast=4.0)), build(make_config())
    again = build(config_json())

    assert not np.allclose(angles(first)[0], angles(second)[0], atol=TOLERANCE)
    np.testing.assert_array_equal(angles(first), angles(again))
    assert angles(plain)[0].max() == 1


def test_stock_would_give_it_the_first_ones() -> None:
    """Why they are forgotten before each build; once stock tells them apart, that can go."""
    model = build(config_json())
    other = build(config_json(beta_fast=4.0))
    table, config = other.model.rotary_pos_emb, model.model.config
    same = {
        "hidden_dim": table.kv_channels,
        "rotary_percent": table.rotary_percent,
        "rotary_base": table.rotary_base,
        "rotary_dtype": table.rotary_dtype,
        "position_embedding_type": "yarn",
        "original_max_position_embeddings": 256,
    }

    assert config.beta_fast == 32.0
    assert get_rope(config, **same) is table


@pytest.mark.parametrize("kind", ["linear", "dynamic", "llama3", "longrope"])
def test_stock_builds_no_model_with_any_other_kind(kind: str) -> None:
    """Why they are refused; once stock builds one of them, compare its angles with HuggingFace's."""
    scaling = {"rope_type": kind, "factor": 2.0, "original_max_position_embeddings": 256}
    values = normalize(make_config()).values | FLOAT32 | {"rope_scaling": scaling}

    with pytest.raises((ValueError, RuntimeError)) as error:
        build_model(build_config(values))
    assert kind in str(error.value) or kind in str(error.value.__cause__)


def test_auto_config_spells_yarn_out(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", **config_json())
    config = AutoConfig.from_pretrained(directory)

    assert config.rope_scaling == normalize(read_json(directory / "config.json")).values["rope_scaling"]
    model = build_model(config)
    np.testing.assert_array_equal(angles(model), angles(build(config_json())))


def test_load_weights_says_where_the_model_was_built_with_other_angles(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "hf", **config_json())
    plain = build(make_config())
    with pytest.warns(CheckpointWarning, match=r"the model's config sets rope_scaling to null over config\.json's"):
        plain.load_weights(str(directory))

    scaled = build_model(AutoConfig.from_pretrained(directory, **FLOAT32))
    scaled.load_weights(str(directory))
    assert scaled.mf_qwen3_report.warnings == ()


def test_yarn_by_keyword_is_yarn_by_config_json(tmp_path: Path) -> None:
    raw = config_json(beta_slow=0.5)
    by_config = write_checkpoint(tmp_path / "config", **raw)
    by_keyword = write_checkpoint(tmp_path / "keyword", **(raw | {"rope_scaling": None}))
    prompt = [[5, 6, 7, 8]]
    expected = AutoModel.from_pretrained(by_config).generate(prompt, max_new_tokens=6, do_sample=False)
    with pytest.warns(CheckpointWarning, match="rope_scaling"):
        model = AutoModel.from_pretrained(by_keyword, rope_scaling=raw["rope_scaling"])

    np.testing.assert_array_equal(model.generate(prompt, max_new_tokens=6, do_sample=False), expected)
    np.testing.assert_array_equal(angles(model), angles(build(raw)))
