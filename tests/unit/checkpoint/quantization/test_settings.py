"""The settings in config.json: whatever they are, they are read, or named as what can't be used."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quantized import KINDS

from mf_qwen3_patch.checkpoint.quantization.compressed_tensors import CompressedTensors
from mf_qwen3_patch.checkpoint.quantization.dequantize import METHODS
from mf_qwen3_patch.checkpoint.quantization.gptq import Gptq
from mf_qwen3_patch.checkpoint.quantization.method import UnusableSetting

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 130)
    | st.floats(-2, 9)
    | st.sampled_from(["re:(", "4", "gemm", "group"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["format", "x"]), inner, max_size=2),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of everything in a JSON value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    """Return a copy of a JSON value with something else in one place."""
    if not path:
        return by
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), value=JSON)
def test_any_value_in_any_place(data: st.DataObject, kind: str, value: Any) -> None:
    _, config = KINDS[kind]
    place = data.draw(st.sampled_from([place for place in places(config) if place]))
    broken = replaced(config, place, value)

    with suppress(UnusableSetting):
        METHODS[config["quant_method"]].of(broken)


@pytest.mark.parametrize(
    ("targets", "bits"),
    [
        ((["Linear"], ["re:.*down_proj"], ["model.layers.0.mlp.down_proj"]), 3),
        ((["Linear"], ["re:.*down_proj"], ["model.layers.1.mlp.down_proj"]), 2),
        ((["Linear"], ["re:.*up_proj"], ["up_proj"]), 1),
        ((["re:.*down_proj"], ["Linear"], ["re:.*mlp.*"]), 1),
    ],
    ids=["by name", "by pattern", "by class", "the first of equals"],
)
def test_the_most_exact_target_counts(targets: tuple[list[str], ...], bits: int) -> None:
    sizes = (8, 16, 32)
    groups = {
        str(size): {
            "targets": target,
            "format": "int-quantized",
            "weights": {"num_bits": 8, "type": "int", "strategy": "group", "group_size": size},
        }
        for size, target in zip(sizes, targets, strict=True)
    }
    method = CompressedTensors.of({"config_groups": groups})

    assert method.scheme_of("model.layers.0.mlp.down_proj").block == (1, sizes[bits - 1])  # type: ignore[union-attr]


def test_layers_that_dynamic_leaves_out_are_no_other_settings() -> None:
    config = {"bits": 4, "group_size": 128, "dynamic": {"-:.*lm_head": {}}}

    assert Gptq.of(config) == Gptq(4, 128, 1)


def test_a_group_of_activations_only_is_no_scheme() -> None:
    config = {"config_groups": {"group_0": {"targets": ["Attention"], "weights": None}}}

    assert CompressedTensors.of(config).schemes == ()
