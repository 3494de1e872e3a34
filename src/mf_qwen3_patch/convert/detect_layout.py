"""In which layout a MindFormers directory is: as its files or the user say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.errors import ConfigMismatch, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import FusedParameter
from mf_qwen3_patch.families.layout import INFERENCE, LAYOUT_KEY, RANKS_KEY, TRAINING, Layout


@dataclass(frozen=True)
class Layouts:
    """In which layout the merged parameters are; attention and MLP may differ, as two switches of training say."""

    linear_qkv: Layout
    linear_fc1: Layout
    experts: Layout

    def of(self, fused: FusedParameter) -> Layout:
        """Return the layout of one fused parameter."""
        layout: Layout = self.experts if fused.stacked else getattr(self, fused.target)
        return layout


def layouts_of(checkpoint: Checkpoint, given: Layouts | None) -> Layouts:
    """Say in which layout the files are: as they or the user (``given``) say, and never by guessing.

    Raises:
        UnsupportedCheckpoint: Nobody says it, or the files hold slices of single ranks, or are not of one conversion.
        ConfigMismatch: The user and the files contradict each other.
    """
    root = checkpoint.directory
    noted = set()
    for file, header in checkpoint.headers.items():
        metadata = header.metadata
        noted.add(metadata.get(LAYOUT_KEY))
        if RANKS_KEY in metadata:
            summary = f"{file.name} holds the slices of one of {metadata[RANKS_KEY]} ranks"
            advice = "export the directory that was converted without --tp"
            raise _unsupported(summary, root, file=file.name, advice=advice)
    if noted == {None}:
        if given is None:
            raise _unsupported(
                "nothing says in which layout query, key, value and gate, up are merged: names and shapes are the "
                "same in both, and the wrong one gives weights that load and talk nonsense",
                root,
                file=checkpoint.files[0].name,
                field=LAYOUT_KEY,
                expected="inference or training",
                found="no such metadata",
                advice="say it: --layout training for what MindFormers trained, --layout inference for what was "
                "saved from an inference model",
            )
        return given
    (layout, *others) = sorted(noted, key=str)
    if others or layout not in (INFERENCE, TRAINING):
        found = ", ".join(map(str, [layout, *others]))
        advice = "convert the HuggingFace directory again, into an empty place"
        raise _unsupported(
            "the files do not agree about their layout", root, field=LAYOUT_KEY, found=found, advice=advice
        )
    named: Layout = INFERENCE if layout == INFERENCE else TRAINING
    own = Layouts(named, named, named)
    if given not in (None, own):
        summary = f"the files say that they are in the {layout} layout, which contradicts the command line"
        where = {"file": checkpoint.files[0].name, "field": LAYOUT_KEY, "expected": layout}
        said = ", ".join(f"{name}: {value}" for name, value in asdict(given).items()) if given else None
        advice = "leave --layout out: the files know best"
        raise error_for([Problem(ConfigMismatch, summary, **where, found=said, advice=advice)], str(root))
    return own


def _unsupported(summary: str, root: Path, **details: Any) -> Exception:
    return error_for([Problem(UnsupportedCheckpoint, summary, **details)], str(root))
