"""Every way in which weights reach a network, and the faults that each of them must notice.

The tests hold the table against what happens; ``scripts/make_entry_table.py`` writes it into the documentation.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import mindspore
import numpy as np
from tests.mindformers.loading.transfer.stock import bits, build, differences
from tests.support.checkpoints import (
    INDEX,
    Raw,
    Tensors,
    header_bytes,
    read_safetensors,
    weight_files,
    write_checkpoint,
)

import mf_qwen3_patch.loading.transfer.planner as planning
from mf_qwen3_patch.convert.to_mindformers import convert_to_mindformers
from mf_qwen3_patch.errors import CheckpointError, CheckpointWarning
from mindformers import AutoModel

SHARD_BYTES = 60_000
RIGHT = "right"
WRONG = "WRONG, IN SILENCE"


def edit_files(directory: Path, change: Callable[[Tensors], object]) -> None:
    """Change the tensors of each file by itself; the index follows, the notes in the headers stay."""
    homes = {}
    for file in weight_files(directory):
        content = file.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        tensors = read_safetensors(file)
        change(tensors)
        homes |= dict.fromkeys(tensors, file.name)
        write_noted(file, tensors, header.get("__metadata__"))
    if (directory / INDEX).exists():
        (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": homes}))


def write_noted(file: Path, tensors: Mapping[str, Raw], metadata: object) -> None:
    file.write_bytes(header_bytes(tensors, metadata) + b"".join(raw.data for raw in tensors.values()))


def edit_notes(directory: Path, **notes: str) -> None:
    """Change the metadata of every file."""
    for file in weight_files(directory):
        content = file.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = {
            **header.get("__metadata__", {}),
            **{f"mf_qwen3_patch.{name}": note for name, note in notes.items()},
        }
        write_noted(file, read_safetensors(file), metadata)


def _first_matrix(tensors: Tensors, part: str) -> str | None:
    return next((name for name, raw in tensors.items() if part in name and len(raw.shape) == 2), None)


def _put(value: float) -> Callable[[Path], None]:
    def change(tensors: Tensors) -> None:
        name = _first_matrix(tensors, "layers.1.")
        if name is not None:
            values = np.frombuffer(tensors[name].data, np.float32).copy()
            values[values.size // 3] = value
            tensors[name] = Raw("F32", tensors[name].shape, values.tobytes())

    return lambda directory: edit_files(directory, change)


def _drop(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if "layers.1." in name and ("o_proj" in name or "linear_proj" in name)]:
            del tensors[name]

    edit_files(directory, change)


def _add_a_layer(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors |= {name.replace("layers.1.", "layers.2."): raw for name, raw in tensors.items() if "layers.1." in name}

    edit_files(directory, change)


def _cut_rows(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        name = _first_matrix(tensors, "layers.1.")
        if name is not None:
            raw = tensors[name]
            rows, columns = raw.shape
            tensors[name] = Raw(raw.dtype, (rows - 1, columns), raw.data[: (rows - 1) * columns * 4])

    edit_files(directory, change)


def _other_dtype(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        name = _first_matrix(tensors, "layers.1.")
        if name is not None:
            tensors[name] = Raw("I32", tensors[name].shape, tensors[name].data)

    edit_files(directory, change)


def _stray(directory: Path) -> None:
    file = weight_files(directory)[0]
    zeros = {name: Raw(raw.dtype, raw.shape, bytes(len(raw.data))) for name, raw in read_safetensors(file).items()}
    for name in ("a_backup.safetensors", "z_backup.safetensors"):
        write_noted(directory / name, zeros, None)


def _twice(directory: Path) -> None:
    first, second, *_ = weight_files(directory)
    name, raw = next(iter(read_safetensors(first).items()))
    other = Raw(raw.dtype, raw.shape, bytes(len(raw.data)))
    content = second.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    write_noted(second, {**read_safetensors(second), name: other}, header.get("__metadata__"))
    (directory / INDEX).unlink()


def _truncate(directory: Path) -> None:
    file = weight_files(directory)[-1]
    file.write_bytes(file.read_bytes()[:-40])


def _lose_a_shard(directory: Path) -> None:
    weight_files(directory)[1].unlink()


def _adapter(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        name = _first_matrix(tensors, "layers.1.")
        if name is not None:
            tensors[name.replace(".weight", ".lora_A.weight")] = tensors[name]

    edit_files(directory, change)


def _scales(directory: Path) -> None:
    def change(tensors: Tensors) -> None:
        name = _first_matrix(tensors, "layers.1.")
        if name is not None:
            tensors[f"{name}_scale_inv"] = Raw("F32", (1, 1), bytes(4))

    edit_files(directory, change)


def _stop_the_conversion(directory: Path) -> None:
    (directory / "model-00009-of-00009.safetensors.unfinished").write_bytes(b"half")


@dataclass(frozen=True)
class EntryFault:
    """Something that may be wrong with a checkpoint, whatever its layout.

    Attributes:
        name: What is wrong.
        make: Breaks the directory in place.
        right: Whether the load must succeed all the same, with a warning; otherwise it must be refused.
        only_converted: Whether only a converted directory can have it.
        dtype: Of the network.
    """

    name: str
    make: Callable[[Path], object]
    right: bool = False
    only_converted: bool = False
    dtype: str = "float32"


FAULTS = (
    EntryFault("a NaN", _put(float("nan"))),
    EntryFault("an infinity", _put(float("-inf"))),
    EntryFault("a value too large for the network's float16", _put(1e30), right=True, dtype="float16"),
    EntryFault("a tensor is missing", _drop),
    EntryFault("one layer more than the network has", _add_a_layer),
    EntryFault("a matrix lacks a row", _cut_rows),
    EntryFault("a matrix of integers", _other_dtype),
    EntryFault("other files that hold the same names", _stray, right=True),
    EntryFault("two shards hold a tensor, with other values", _twice),
    EntryFault("a truncated shard", _truncate),
    EntryFault("a shard is missing", _lose_a_shard),
    EntryFault("a tensor of a LoRA adapter", _adapter),
    EntryFault("a scale of quantized weights", _scales),
    EntryFault("the note of the layout is damaged", lambda d: edit_notes(d, layout="sideways"), only_converted=True),
    EntryFault("the note of the ranks is damaged", lambda d: edit_notes(d, tensor_parallel="two"), only_converted=True),
    EntryFault("made for other ranks", lambda d: edit_notes(d, tensor_parallel="2", rank="0"), only_converted=True),
    EntryFault("a conversion that was killed", _stop_the_conversion, only_converted=True),
)


def _huggingface(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def _converted(layout: Any) -> Callable[[Path, Path], None]:
    def make(source: Path, target: Path) -> None:
        convert_to_mindformers(source, target, layout=layout, max_shard_bytes=SHARD_BYTES, progress=False)

    return make


def _merged(source: Path, target: Path) -> None:
    """As MindFormers' own tools leave it after training: no note, a config.json beside the weights."""
    _converted("training")(source, target)
    for file in weight_files(target):
        write_noted(file, read_safetensors(file), {"format": "np"})
    (target / "mf_qwen3_patch.manifest.json").unlink()


def _from_pretrained(source: Path, directory: Path, dtype: str) -> Any:
    return AutoModel.from_pretrained(directory, torch_dtype=dtype, compute_dtype="float32")


def _load_weights(source: Path, directory: Path, dtype: str) -> Any:
    network = build(source, dtype)
    network.load_weights(str(directory))
    return network


def _convert_weight_dict(source: Path, directory: Path, dtype: str) -> Any:
    network = build(source, dtype)
    weights: dict[str, Any] = {}
    for file in weight_files(directory):
        weights |= mindspore.load_checkpoint(str(file), format="safetensors")
    converted = type(network).convert_weight_dict(weights)
    mindspore.load_param_into_net(network, converted)
    return network


@dataclass(frozen=True)
class Entry:
    """A way in.

    Attributes:
        name: What it is called.
        make: Makes the directory of this entry out of a HuggingFace one.
        load: Loads it: the HuggingFace directory (for the network's config), the directory, the network's dtype.
        converted: Whether the files note their layout.
        around: What the load happens in.
        sees: The faults that concern it; all others if empty.
    """

    name: str
    make: Callable[[Path, Path], None]
    load: Callable[[Path, Path, str], Any]
    converted: bool = False
    around: Callable[[], AbstractContextManager[Any]] = nullcontext
    sees: tuple[str, ...] = ()


def _only_mindformers_can() -> AbstractContextManager[Any]:
    """The planner is told that this is a device for which MindFormers' own loader writes."""
    return mock.patch.object(planning, "is_310p", return_value=True)


ENTRIES = (
    Entry("HuggingFace directory, from_pretrained", _huggingface, _from_pretrained),
    Entry("HuggingFace directory, load_weights", _huggingface, _load_weights),
    Entry("converted, inference layout, from_pretrained", _converted("inference"), _from_pretrained, converted=True),
    Entry("converted, inference layout, load_weights", _converted("inference"), _load_weights, converted=True),
    Entry("converted, training layout, from_pretrained", _converted("training"), _from_pretrained, converted=True),
    Entry("converted, training layout, load_weights", _converted("training"), _load_weights, converted=True),
    Entry("merged by MindFormers, load_weights", _merged, _load_weights),
    Entry("HuggingFace directory, MindFormers' own loader", _huggingface, _load_weights, around=_only_mindformers_can),
    Entry(
        "converted, training layout, MindFormers' own loader",
        _converted("training"),
        _load_weights,
        converted=True,
        around=_only_mindformers_can,
    ),
    Entry(
        "weight dict, convert_weight_dict",
        _huggingface,
        _convert_weight_dict,
        # A dict is neither files nor a model: what concerns those is load_checkpoint's and load_param_into_net's.
        sees=(
            "a NaN",
            "an infinity",
            "a truncated shard",
            "a tensor of a LoRA adapter",
            "a scale of quantized weights",
        ),
    ),
)

CASES = tuple(
    (entry, fault)
    for entry in ENTRIES
    for fault in FAULTS
    if (entry.converted or not fault.only_converted) and (not entry.sees or fault.name in entry.sees)
)


@dataclass(frozen=True)
class Outcome:
    """What came of a load.

    Attributes:
        verdict: ``right``, the error's code, or ``WRONG, IN SILENCE``.
        message: The error's first line, or the warnings.
        report: Whether the model has a report, if there is a model.
    """

    verdict: str
    message: str


def good_directory(root: Path) -> Path:
    return write_checkpoint(root / "good", shards=3)


def outcome(entry: Entry, fault: EntryFault, source: Path, place: Path) -> Outcome:
    """Break a directory, load it, and say what came of it."""
    directory = place / "model"
    entry.make(source, directory)
    expected = build(source, fault.dtype)
    expected.load_weights(str(source))
    fault.make(directory)
    with warnings.catch_warnings(record=True) as caught, entry.around():
        warnings.simplefilter("always")
        try:
            model = entry.load(source, directory, fault.dtype)
        except CheckpointError as error:
            return Outcome(error.code, str(error).splitlines()[0])
    said = [str(warning.message) for warning in caught if issubclass(warning.category, CheckpointWarning)]
    wrong = differences(bits(expected), bits(model))
    if fault.right and fault.dtype == "float16":  # the value that overflows is the one that differs
        wrong = {name: what for name, what in wrong.items() if not what.startswith("1 of ")}
    silent = bool(wrong) or (fault.right and not said)
    return Outcome(WRONG if silent else RIGHT, "; ".join(said))
