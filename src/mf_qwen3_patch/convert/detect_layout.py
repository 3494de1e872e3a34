"""In which layout a MindFormers directory is: as its files or the user say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product, starmap
from typing import Any

from mf_qwen3_patch.checkpoint.files.checkpoint import Checkpoint
from mf_qwen3_patch.errors import CheckpointError, ConfigMismatch, Problem, UnsupportedCheckpoint, error_for
from mf_qwen3_patch.families.family import FusedParameter
from mf_qwen3_patch.families.layout import INFERENCE, LAYOUT_KEY, RANKS_KEY, TRAINING, Layout


@dataclass(frozen=True)
class Layouts:
    """In which layout the merged parameters are; attention and MLP may differ, as two switches of training say."""

    linear_qkv: Layout
    linear_fc1: Layout
    experts: Layout

    @classmethod
    def all(cls, layout: Layout) -> Layouts:
        """Return one layout for everything."""
        return cls(layout, layout, layout)

    @classmethod
    def noted(cls, note: str | None) -> Layouts | None:
        """Read the note of a file; None if it has none, or one that says something else."""
        every = starmap(cls, product((INFERENCE, TRAINING), repeat=3))
        return next((layouts for layouts in every if layouts.note == note), None)

    @property
    def note(self) -> str:
        """The layouts as the metadata of files say them: by one name, if they are all the same."""
        values = asdict(self)
        return str(self.experts) if len({*values.values()}) == 1 else ", ".join(map(": ".join, values.items()))

    def of(self, fused: FusedParameter) -> Layout:
        """Return the layout of one fused parameter."""
        layout: Layout = self.experts if fused.stacked else getattr(self, fused.target)
        return layout


def layouts_of(checkpoint: Checkpoint, given: Layouts | None) -> Layouts:
    """Say in which layout the files are: as they or the user (``given``) say, and never by guessing.

    Raises a CheckpointError if nobody says it, if they contradict each other, or if the files are slices of ranks.
    """

    def refusal(kind: type[CheckpointError], summary: str, advice: str, **details: Any) -> CheckpointError:
        return error_for([Problem(kind, summary, **details, advice=advice)], str(checkpoint.directory))

    metadata = {file.name: header.metadata for file, header in checkpoint.headers.items()}
    for file, noted in metadata.items():
        if RANKS_KEY in noted:
            summary = f"{file} holds the slices of one of {noted[RANKS_KEY]} ranks"
            advice = "export the directory that was converted without --tp"
            raise refusal(UnsupportedCheckpoint, summary, advice, file=file)
    layout, *others = sorted({noted.get(LAYOUT_KEY) for noted in metadata.values()}, key=str)
    where = {"file": checkpoint.files[0].name, "field": LAYOUT_KEY}
    own = Layouts.noted(layout)
    if others or (layout is not None and own is None):
        summary, found = "the files do not agree about their layout", ", ".join(map(str, [layout, *others]))
        advice = "convert the HuggingFace directory again, into an empty place"
        raise refusal(UnsupportedCheckpoint, summary, advice, field=LAYOUT_KEY, found=found)
    if own is not None:
        if given is None or given == own:
            return own
        summary = f"the files say that they are in the {layout} layout, which contradicts the command line"
        said = ", ".join(f"{name}: {value}" for name, value in asdict(given).items())
        advice = "leave --layout out: the files know best"
        raise refusal(ConfigMismatch, summary, advice, **where, expected=layout, found=said)
    if given is None:
        why = "names and shapes are the same in both, and the wrong one gives weights that load and talk nonsense"
        summary = f"nothing says in which layout query, key, value and gate, up are merged: {why}"
        trained, saved = "for what MindFormers trained", "for what was saved from an inference model"
        advice = f"say it: --layout training {trained}, --layout inference {saved}"
        values = {"expected": "inference or training", "found": "no such metadata"}
        raise refusal(UnsupportedCheckpoint, summary, advice, **where, **values)
    return given
