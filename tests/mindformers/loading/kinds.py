"""Every kind of checkpoint that people have, and what comes of it at every entry; so with the faults of the special ones.

The tests hold the tables against what happens; ``scripts/make_kind_table.py`` writes them into the documentation.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import lora, quantized
from tests.faults.breaking import only
from tests.faults.catalog import FAULTS as CATALOG
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import TINY_MOE, Raw, decode, edit_weights, write_checkpoint
from tests.support.lora import merge_into, write_adapter
from tests.support.quantized import write_quantized
from tests.support.readings import REFERENCE, make_disputed

import mf_qwen3_patch
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError
from mindformers import AutoModel

RIGHT, WRONG = "right", "WRONG, IN SILENCE"
_FP8 = "FP8, blocks"


@dataclass(frozen=True)
class Sample:
    """A checkpoint of some kind.

    Attributes:
        directory: What is loaded.
        plain: A plain directory with the same model; None if it must be refused.
        base: The directory with its config.json.
        adapter: An adapter that is named beside it.
        keywords: More keywords of ``from_pretrained``.
        asked: Whether it is also right to ask what is meant.
    """

    directory: Path
    plain: Path | None
    base: Path
    adapter: Path | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    asked: bool = False


@dataclass(frozen=True)
class Entry:
    """A way in: makes a model of a sample, with an empty directory to work in."""

    name: str
    load: Callable[[Sample, Path], Any]


def _from_pretrained(sample: Sample, place: Path) -> Any:
    return AutoModel.from_pretrained(str(sample.directory), adapter=sample.adapter, **sample.keywords)


def _load_weights(sample: Sample, place: Path) -> Any:
    network = build(sample.base)
    mf_qwen3_patch.load_weights(network, sample.directory, adapter=sample.adapter)
    return network


def _convert(sample: Sample, place: Path) -> Any:
    options = {"dtype": "float32", "adapter": sample.adapter, "progress": False}
    convert_to_mindformers(sample.directory, place / "converted", **options)
    return AutoModel.from_pretrained(str(place / "converted"))


ENTRIES = (Entry("from_pretrained", _from_pretrained), Entry("load_weights", _load_weights), Entry("convert", _convert))


def outcome(entry: Entry, sample: Sample, place: Path) -> str:
    """Return ``right``, the error's code, or ``WRONG, IN SILENCE``."""
    try:
        model = entry.load(sample, place)
    except CheckpointError as error:
        return error.code
    if sample.plain is None:
        return WRONG
    expected = AutoModel.from_pretrained(str(sample.plain))
    return WRONG if differences(bits(expected), bits(model)) else RIGHT


def _written(place: Path, **options: Any) -> Sample:
    directory = write_checkpoint(place / "model", **options)
    return Sample(directory, directory, directory)


def _saved(name: str, place: Path, **keywords: Any) -> Sample:
    directory, plain = REFERENCE / "saved_by_5" / name, REFERENCE / "checkpoints" / name.partition("__")[0]
    return Sample(directory, plain, plain, keywords=keywords)


def _disputed(base: str, name: str, place: Path) -> Sample:
    plain = REFERENCE / "checkpoints" / base
    return Sample(make_disputed(name, place), plain, plain)


def _another_head(place: Path, **keywords: Any) -> Sample:
    sample = _disputed("tied", "tied, another output layer in the file", place)
    # A network that is built tied has been told already; convert has no keyword.
    return Sample(sample.directory, sample.plain, sample.base, keywords=keywords, asked=True)


def _quantized(kind: str, place: Path) -> Sample:
    directory, plain = write_quantized(place, kind)
    return Sample(directory, plain, plain)


def _adapter(where: str, place: Path, **options: Any) -> Sample:
    base, plain = (write_checkpoint(place / name, **options) for name in ("base", "plain"))
    adapter = base if where == "beside" else place / "adapter"
    merge_into(plain, write_adapter(adapter, base))
    if where == "keyword":
        return Sample(base, plain, base, adapter)
    return Sample(adapter, plain, base)


def _adapter_of_single_experts(place: Path) -> Sample:
    """Return an adapter with a name for each expert, of a base that transformers 5 has saved with all in one tensor."""
    base, plain = REFERENCE / "saved_by_5" / "moe__grouped", place / "plain"
    shutil.copytree(REFERENCE / "checkpoints" / "moe", plain)
    merge_into(plain, write_adapter(place / "adapter", plain, base_model_name_or_path=str(base)))
    return Sample(place / "adapter", plain, plain)


def _wide(place: Path) -> Sample:
    sample = _written(place)
    plain = Path(shutil.copytree(sample.directory, place / "plain"))

    def widen(tensors: dict[str, Raw]) -> None:
        tensors |= {name: Raw("F64", raw.shape, decode(raw).astype(float).tobytes()) for name, raw in tensors.items()}

    edit_weights(sample.directory, widen)
    return Sample(sample.directory, plain, sample.base)


def _broken(make: Callable[[Path], object], place: Path) -> Sample:
    base = write_checkpoint(place / "base", shards=3)
    directory = Path(shutil.copytree(base, place / "model"))
    make(directory)
    return Sample(directory, None, base)


def _of_catalog(name: str) -> Callable[[Path], Sample]:
    (fault,) = (fault for fault in CATALOG if fault.name == name)
    return partial(_broken, fault.make)


KINDS: Mapping[str, Callable[[Path], Sample]] = {
    "dense": _written,
    "dense, tied": partial(_written, tie=True),
    "mixture of experts": partial(_written, **TINY_MOE),
    "yarn": lambda place: _disputed("yarn", "yarn in rope_parameters", place),
    "float16, bfloat16": partial(_written, dtype="BF16"),
    "float64": _wide,
    "sharded": partial(_written, shards=3),
    "`config.json` of transformers 5": partial(_saved, "gqa2"),
    "experts fused by transformers 5": partial(_saved, "moe__grouped"),
    "tied, saved with the output layer alone": lambda place: _disputed(
        "tied", "tied, only the output layer in the file", place
    ),
    "tied, another output layer in the file": _another_head,
    "the same, with `tie_word_embeddings=True`": partial(_another_head, tie_word_embeddings=True),
    "FP8": partial(_quantized, _FP8),
    "GPTQ": partial(_quantized, "GPTQ, asymmetric, act-order"),
    "AWQ": partial(_quantized, "AWQ"),
    "compressed-tensors": partial(_quantized, "compressed-tensors, INT4"),
    "LoRA adapter, its own directory": partial(_adapter, "alone"),
    "LoRA adapter, `adapter=`": partial(_adapter, "keyword"),
    "LoRA adapter beside the model": partial(_adapter, "beside"),
    "LoRA adapter of experts": partial(_adapter, "alone", **TINY_MOE),
    "the same, the base's experts fused by transformers 5": _adapter_of_single_experts,
    "DoRA, PiSSA, other types of PEFT": lambda place: adapter_fault(
        next(fault for fault in lora.FAULTS if fault.name == "DoRA"), place
    ),
    "bitsandbytes": _of_catalog("bitsandbytes, declared"),
    "GGUF": partial(_broken, only("model-Q4_K_M.gguf")),
    "MLX": _of_catalog("MLX"),
    "HQQ, EETQ": _of_catalog("HQQ"),
    "msModelSlim": _of_catalog("msModelSlim"),
    "`pytorch_model.bin`": partial(_broken, only("pytorch_model.bin")),
}
"""By name, what makes a sample of a kind below an empty directory."""


def quantized_fault(fault: Any, place: Path) -> Sample:
    """Return a checkpoint that is quantized with a fault."""
    return _broken(fault.make, place)


def adapter_fault(fault: lora.AdapterFault, place: Path) -> Sample:
    """Return a base with an adapter that has a fault."""
    base = write_checkpoint(place / "base", shards=3)
    write_adapter(place / "adapter", base)
    fault.make(place / "adapter")
    return Sample(place / "adapter", None, base)


KIND_FAULTS: Mapping[str, Callable[[Path], Sample]] = {
    **{
        f"quantized: {fault.name}": partial(quantized_fault, fault)
        for fault in (*quantized.HEADER_FAULTS, *quantized.VALUE_FAULTS)
    },
    **{f"adapter: {fault.name}": partial(adapter_fault, fault) for fault in (*lora.FAULTS, *lora.VALUE_FAULTS)},
}
"""By name, what makes a sample that must be refused."""
