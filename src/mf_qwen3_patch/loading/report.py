"""The account of a load: as an object, as JSON, and as text."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mf_qwen3_patch._display import printable
from mf_qwen3_patch._log import LOGGER
from mf_qwen3_patch.errors import some
from mf_qwen3_patch.loading.transfer.verify import Verification

_SHOWN_ALONE = 5
_VARIABLE = "MF_QWEN3_PATCH_REPORT"

SCHEMA_VERSION = 1
"""Of the report as JSON; raised when a key is renamed or removed, not when one is added."""


@dataclass(frozen=True)
class LoadReport:
    """The account of one load; ``model.mf_qwen3_report``.

    Attributes:
        directory: Where the checkpoint is.
        model_class: The class that was loaded.
        files: The weight files that were used.
        tensors: How many tensors the files hold; a quantized one and its scales are one.
        parameters: How many Parameters the network has; each was written, but for those under ``newly_initialized``.
        fused: How many of them were merged, by kind: ``{"linear_qkv": 40, "linear_fc1": 40}``.
        bytes_read: Bytes of tensor data that this rank read from the files, without the verification's re-reading.
        seconds: How long preflight, build, load and verification took together.
        load_seconds: How long reading, casting and assigning took.
        threads: How many threads read.
        rank: This process's tensor-parallel rank.
        tensor_parallel: How many ranks share the model.
        casts: Dtype changes and the number of tensors they happened to: ``{"BF16->float32": 443}``.
        dequantized: Methods and dtypes, and the number of tensors that were quantized: ``{"FP8->bfloat16": 252}``.
        merged: Kinds of adapters and dtypes, and the number of tensors that they changed: ``{"LoRA->bfloat16": 252}``.
        ignored: Tensors that were not loaded, and why.
        mismatched: Of these, the ones that ``ignore_mismatched_sizes`` let pass: their shape and the config's.
        newly_initialized: The parameters that were not loaded for that reason, and were newly initialized.
        warnings: What should be known.
        loader: Which loader did it: ``mf_qwen3_patch`` or, where it could not, MindFormers' own, with the reason.
        verification: What was checked afterwards.
        device: The kind of device: ``CPU``, ``Ascend`` or ``Ascend 310P``.
        time: When the load had ended, in UTC, as ISO 8601.
        host_peak_bytes: The most memory that the process has had resident on the host until then.
        versions: Of the shim, and of the packages that matter; None for one that is not installed.
    """

    directory: str
    model_class: str
    files: tuple[str, ...]
    tensors: int
    parameters: int
    bytes_read: int
    seconds: float
    load_seconds: float
    rank: int = 0
    tensor_parallel: int = 1
    threads: int = 1
    fused: Mapping[str, int] = field(default_factory=dict)
    casts: Mapping[str, int] = field(default_factory=dict)
    dequantized: Mapping[str, int] = field(default_factory=dict)
    merged: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    mismatched: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    newly_initialized: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    loader: str = "mf_qwen3_patch"
    verification: Verification | None = None
    device: str = ""
    time: str = ""
    host_peak_bytes: int = 0
    versions: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def gigabytes_per_second(self) -> float:
        """Tensor data read per second of loading, in 10^9 bytes."""
        return self.bytes_read / self.load_seconds / 1e9 if self.load_seconds else 0.0

    def as_loading_info(self) -> dict[str, list[Any]]:
        """Return transformers' ``output_loading_info``; what is neither ignored nor mismatched was loaded.

        Mismatched keys are tuples of the name, the shape in the file and the config's.
        """
        return {
            "missing_keys": [],
            "unexpected_keys": sorted(self.ignored.keys() - self.mismatched.keys()),
            "mismatched_keys": [(name, *shapes) for name, shapes in sorted(self.mismatched.items())],
            "error_msgs": [],
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON-compatible values, with the ``schema_version`` of its keys."""
        return {
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(self),
            "gigabytes_per_second": self.gigabytes_per_second,
        }

    def to_json(self) -> str:
        """Return the report as one JSON object."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report to a file as one JSON object, and return the file's path.

        The directory is made if it is not there. Of several ranks, each writes a file of its own:
        ``report.rank_1.json`` for ``report.json``.
        """
        file = Path(path)
        if self.tensor_parallel > 1:
            file = file.with_name(f"{file.stem}.rank_{self.rank}{file.suffix}")
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.partial")
        partial.write_text(self.to_json() + "\n", encoding="utf-8")
        return partial.replace(file)

    @property
    def summary(self) -> str:
        """The report in one line."""
        shared = f", rank {self.rank} of {self.tensor_parallel}" if self.tensor_parallel > 1 else ""
        return (
            f"{self.model_class} from {self.directory} in {self.seconds:.1f} s{shared}: {self.bytes_read / 1e9:.2f} GB "
            f"read at {self.gigabytes_per_second:.2f} GB/s with {self.threads} threads"
        )

    def __str__(self) -> str:
        contents = f"{self.tensors} tensors in {len(self.files)} files"
        misfits = f"{len(self.mismatched)} of {contents} have another size"
        merged = ", ".join(f"{count} {kind}" for kind, count in self.fused.items())
        new = self.newly_initialized
        loaded = f"{self.parameters - len(new)} of {self.parameters} parameters"
        not_all = "not all were loaded", f"{loaded}; newly initialized: {some(new, 5)}"
        lines = [
            ("weights don't match", misfits) if self.mismatched else ("weights match config", contents),
            ("converted", f"{self.parameters} parameters" + (f", of which merged: {merged}" if merged else "")),
            not_all if new else ("all weights loaded", loaded),
        ]
        for change, count in self.dequantized.items():
            lines.append(("dequantized", f"{change.replace('->', ' → ')}, {count} tensors"))
        for change, count in self.merged.items():
            lines.append(("merged", f"{change.replace('->', ' → ')}, {count} tensors"))
        if self.casts:
            lines.append(("cast", ", ".join(f"{cast}: {count} tensors" for cast, count in self.casts.items())))
        if self.verification is not None:
            lines += self.verification.lines()
        lines += [("ignored", text) for text in self._ignored_lines()]
        lines += [("warning", text) for text in self.warnings]
        if self.loader != "mf_qwen3_patch":
            lines.append(("loaded by", self.loader))
        return "\n".join([printable(self.summary), *(f"  {what:<22}{printable(result)}" for what, result in lines)])

    def _ignored_lines(self) -> Iterator[str]:
        """Yield a line for each tensor, or for many of the same reason together."""
        reasons: dict[str, list[str]] = {}
        for name, why in self.ignored.items():
            reasons.setdefault(why, []).append(name)
        for why, names in reasons.items():
            if len(names) > _SHOWN_ALONE:
                yield f"{len(names)} tensors ({names[0]}, ...): {why}"
            else:
                yield from (f"{name}: {why}" for name in names)


def save_where_wanted(report: LoadReport) -> None:
    """Save the report to the file that ``MF_QWEN3_PATCH_REPORT`` names; a load does not fail if that can't be done."""
    path = os.environ.get(_VARIABLE, "").strip()
    if path:
        try:
            report.save(path)
        except OSError as error:
            LOGGER.warning("the report was not written, as %s says: %s", _VARIABLE, error)
