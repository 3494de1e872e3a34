"""config.json of every transformers release gives one and the same config."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from types import FunctionType
from typing import Any

import pytest
from tests.support.checkpoints import make_config

from mf_qwen3_patch.checkpoint.config.normalize import normalize
from mf_qwen3_patch.checkpoint.config.rope import ROPE_KEYS
from mf_qwen3_patch.errors import ConfigMismatch, UnsupportedCheckpoint
from mf_qwen3_patch.families.config_schema import PASSED_ON
from mf_qwen3_patch.families.registry import FAMILIES


@pytest.mark.parametrize("dialect", ["4.57", "5"])
def test_newer_dialects_mean_the_same(dialect: str) -> None:
    old, new = normalize(make_config(dtype="BF16")), normalize(make_config(dtype="BF16", dialect=dialect))
    assert new == old
    assert new.values["rope_theta"] == 1000000
    assert new.values["torch_dtype"] == "bfloat16"
    assert not new.problems
    assert not new.warnings
    assert not {"dtype", "rope_parameters", "layer_types"} & new.values.keys()


def test_absent_keys_have_the_defaults_of_huggingface() -> None:
    config = normalize({"model_type": "qwen3"})
    assert (config.dims.hidden_size, config.dims.head_dim, config.dims.num_key_value_heads) == (
        4096,
        128,
        32,
    )
    assert config.values["rms_norm_eps"] == 1e-6
    assert config.dims.tie_word_embeddings is False
    assert "head_dim" in config.absent


def test_an_absent_rope_theta_is_said() -> None:
    raw = make_config()
    del raw["rope_theta"]
    config = normalize(raw)
    assert config.values["rope_theta"] == 10000.0
    assert [w for w in config.warnings if "no rope_theta" in w and "10000" in w]


def test_null_key_value_heads_mean_multi_head_attention() -> None:
    assert normalize(make_config(num_key_value_heads=None)).dims.num_key_value_heads == 4


def test_an_unknown_key_is_ignored_with_one_warning() -> None:
    config = normalize(make_config(frobnicate=1, zap={"a": 2}))
    assert len(config.warnings) == 1
    assert "frobnicate, zap" in config.warnings[0]
    assert not {"frobnicate", "zap"} & config.values.keys()
    assert not config.problems


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention_bias", True),
        ("attention_bias", 1),
        ("partial_rotary_factor", 0.5),
        ("num_experts", 128),
        ("position_embedding_type", "yarn"),
        ("final_logit_softcapping", 30.0),
        ("use_qk_norm", False),
        ("hidden_act", "gelu"),
        ("dual_chunk_attention_config", {"chunk_size": 262144}),
        ("rope_scaling", {"type": "dynamic", "factor": 2.0}),
        ("rope_parameters", {"full_attention": {"rope_type": "default"}}),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 1000000, "partial_rotary_factor": 0.25}),
        ("layer_types", ["full_attention", "linear_attention"]),
        ("layer_types", "full_attention"),
    ],
)
def test_what_changes_the_output_is_refused(key: str, value: Any) -> None:
    (problem,) = normalize(make_config(**{key: value})).problems
    assert problem.kind is UnsupportedCheckpoint
    assert problem.field == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_sliding_window", False),
        ("attention_bias", False),
        ("partial_rotary_factor", 1.0),
        ("final_logit_softcapping", None),
        ("rope_scaling", {"rope_type": "default"}),
        ("rope_scaling", {"type": "default"}),
        ("sliding_window", 4096),
        ("max_window_layers", 28),
        ("torch_dtype", "torch.float32"),
        ("pad_token_id", None),
    ],
)
def test_what_changes_nothing_is_accepted_without_a_word(key: str, value: Any) -> None:
    config = normalize(make_config(**{key: value}))
    assert not config.problems
    assert not config.warnings


@pytest.mark.parametrize("value", ["5120", 5120.0, True, -1, 0, 2**31, [], {}, None])
def test_a_size_must_be_a_positive_whole_number(value: Any) -> None:
    config = normalize(make_config(hidden_size=value))
    (problem,) = config.problems
    assert problem.kind is ConfigMismatch
    assert problem.field == "hidden_size"
    assert json.dumps(value) in str(problem)
    assert config.invalid == {"hidden_size"}


@pytest.mark.parametrize("value", ["1e6", True, -1.0, 0, float("inf"), float("nan"), 10**400, None])
def test_rope_theta_must_be_a_positive_number(value: Any) -> None:
    (problem,) = normalize(make_config(rope_theta=value)).problems
    assert problem.field == "rope_theta"


def test_two_dtypes_are_said_and_the_newer_name_wins() -> None:
    config = normalize(make_config(dtype="F32") | {"dtype": "bfloat16"})
    assert config.values["torch_dtype"] == "bfloat16"
    assert len(config.warnings) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("head_dim", 33), ("attention_dropout", 1), ("attention_dropout", 1.5), ("attention_dropout", -0.1)],
)
@pytest.mark.parametrize("family", ["Qwen3ForCausalLM", "Qwen3MoeForCausalLM"])
def test_what_no_network_can_be_built_with_is_refused(family: str, field: str, value: object) -> None:
    config = normalize(make_config(architectures=[family], **{field: value}))
    assert [problem.field for problem in config.problems] == [field]
    assert config.problems[0].kind is ConfigMismatch


@pytest.mark.parametrize("theta", [1, 1.0])
def test_yarn_needs_a_rope_theta_other_than_one(theta: float) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    config = make_config(rope_theta=theta, rope_scaling=yarn)
    assert [problem.field for problem in normalize(config).problems] == ["rope_theta"]
    assert not normalize(config | {"rope_scaling": None}).problems
    assert not normalize(config | {"rope_theta": 1.5}).problems
    in_one = make_config(dialect="5", rope_parameters={**yarn, "rope_theta": theta})
    assert [problem.field for problem in normalize(in_one).problems] == ["rope_theta"]


@pytest.mark.oracle
@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe"])
def test_every_key_that_transformers_reads_is_known(family: str) -> None:
    """The rule of fields.py: what HuggingFace's own model reads is carried over or judged, the rest can't matter."""
    pytest.importorskip("torch", reason="needs torch (extra `oracle`)")
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    rope = importlib.import_module("transformers.modeling_rope_utils")
    configs = importlib.import_module("transformers").PretrainedConfig
    found = _config_keys(inspect.getsource(module)) | _config_keys(inspect.getsource(rope))
    read = {name for name in found if not isinstance(getattr(configs, name, None), (FunctionType, property))}
    schema = FAMILIES[family].schema
    judged = schema.fields.keys() | schema.neutral.keys() | PASSED_ON | ROPE_KEYS

    assert {"hidden_size", "rms_norm_eps"} <= read
    assert "rope_parameters" in read or {"rope_scaling", "rope_theta"} <= read
    # The rest choose how it is computed and what else is returned, or belong to a switch that is judged
    # (use_sliding_window), to training, to classifiers, or to the rope of other models.
    assert read - judged <= {
        "_attn_implementation",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "router_aux_loss_coef",
        "use_cache",
        "sliding_window",
        "max_window_layers",
        "layer_types",
        "hidden_dropout",
        "classifier_dropout",
        "num_labels",
        "original_max_position_embeddings",
    }


def _config_keys(source: str) -> set[str]:
    """Names that some code reads from ``config`` or ``self.config``, by attribute, getattr or hasattr."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _is_config(node.value):
            found.add(node.attr)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr")
            and _is_config(node.args[0])
            and isinstance(node.args[1], ast.Constant)
        ):
            found.add(str(node.args[1].value))
    return found


def _is_config(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "config") or (
        isinstance(node, ast.Attribute) and node.attr == "config"
    )
