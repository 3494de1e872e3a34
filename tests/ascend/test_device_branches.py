"""Where MindFormers' inference code depends on the kind of Ascend, and how the shim treats each place.

Read from the installed release's source: a branch that a new release adds, moves or drops breaks a test that names it.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

_WHERE = ("parallel_core/inference", "generation")
# Calls that ask for the kind of device, or bring a tensor into a format of its own.
_CALLS = ("is_310p", "is_910b", "get_ascend_soc_version", "format_to_nz", "format_cast")
# Methods by which a quantized layer changes its weights once they are loaded.
_METHOD = "process_weights_after_loading"

_LAYERS = "parallel_core/inference/tensor_parallel/layers.py"
_GOLDEN_STICK = "parallel_core/inference/quantization/golden_stick"
_MLA = "parallel_core/inference/transformer/multi_latent_attention.py"

_STOCKS_LOADER = "on a 310P stock's loader writes the weights, in the card's format, and the shim verifies them"
_CASTS = "stock's loader makes float16 of bfloat16 on a 310P; the shim asks for float16 there in the first place"
_CACHE = "the key/value cache is stock's own"
_QUANTIZED = "quantized layers are loaded by stock's loader"
_NOT_QWEN3 = "no layer of Qwen3"

TREATMENT = {
    "generation/text_generator.py:GenerationMixin.__init__:is_310p": "the patch decode_mask sets the mask's dtype",
    "generation/text_generator.py:GenerationMixin._generate_kv_cache:is_310p": _CACHE,
    "generation/text_generator.py:GenerationMixin._generate_kv_cache:format_cast": _CACHE,
    f"parallel_core/inference/model_utils.py:InferModelMixin.{_METHOD}": "called after stock's loader",
    "parallel_core/inference/model_utils.py:InferModelMixin.set_dynamic_inputs:is_310p": _CACHE,
    f"parallel_core/inference/quantization/base_config.py:QuantizeMethodBase.{_METHOD}": "does nothing",
    f"{_GOLDEN_STICK}/a8dynw4.py:A8W4DynamicLinearMethod.{_METHOD}": _QUANTIZED,
    f"{_GOLDEN_STICK}/a8dynw8.py:A8W8DynamicLinearMethod.{_METHOD}": _QUANTIZED,
    f"{_GOLDEN_STICK}/a8dynw8.py:A8W8DynamicLinearMethod.{_METHOD}:format_cast": _QUANTIZED,
    f"{_GOLDEN_STICK}/a8w8.py:A8W8LinearMethod.{_METHOD}": _QUANTIZED,
    **{
        f"{_LAYERS}:{layer}.weight_loader:{called}": _STOCKS_LOADER
        for layer in ("ColumnParallelLinear", "MergedColumnParallelLinear", "QKVParallelLinear", "RowParallelLinear")
        for called in ("is_310p", "format_to_nz")
    },
    f"{_LAYERS}:LinearBase.format_to_nz:is_310p": _STOCKS_LOADER,
    f"{_LAYERS}:LinearBase.format_to_nz:format_cast": _STOCKS_LOADER,
    "parallel_core/inference/transformer/moe/token_dispatcher.py:MoEAlltoAllTokenDispatcher.__init__:is_910b": (
        "expert parallelism only, which is loaded by stock's loader"
    ),
    f"{_MLA}:FusedMLASelfAttention.{_METHOD}": _NOT_QWEN3,
    f"{_MLA}:MLASelfAttention.{_METHOD}": _NOT_QWEN3,
    "parallel_core/inference/utils.py:use_ms_custom_ops:is_310p": "which operators a step uses: stock's own",
    "parallel_core/inference/weights_utils.py:default_weight_loader:is_310p": _CASTS,
    "parallel_core/inference/weights_utils.py:split_loaded_weight:is_310p": _CASTS,
}


def _branches(root: Path) -> Iterator[str]:
    for folder in _WHERE:
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            yield from (f"{name}:{place}" for place in _in_node(ast.parse(path.read_text(encoding="utf-8")), ()))


def _in_node(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        within = inside
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            within = (*inside, child.name)
            if child.name == _METHOD:
                yield ".".join(within)
        if isinstance(child, ast.Call):
            called = child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
            if called in _CALLS:
                yield f"{'.'.join(within)}:{called}"
        yield from _in_node(child, within)


@pytest.fixture(scope="module")
def branches() -> set[str]:
    found = importlib.util.find_spec("mindformers")
    assert found is not None
    assert found.origin is not None
    return set(_branches(Path(found.origin).parent))


def test_no_branch_is_new(branches: set[str]) -> None:
    assert sorted(branches - TREATMENT.keys()) == []


@pytest.mark.parametrize("branch", TREATMENT)
def test_every_branch_is_still_there(branch: str, branches: set[str]) -> None:
    assert branch in branches, f"gone ({TREATMENT[branch]}): what has become of it?"
