"""The arguments of ``generate`` as transformers means them, where stock means something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_DEFAULT_LENGTH = 20  # transformers: that many new tokens if nothing is said of lengths


def generate_arguments(
    keywords: Mapping[str, Any], config: Any, prompts: Sequence[Sequence[int]], seq_length: int
) -> dict[str, Any]:
    """Return the keywords for stock's ``generate``.

    ``config`` is the generation config that they go over, ``prompts`` are the rows as they are given. Raises ValueError
    for what stock would answer with an endless answer, or with an error about something else.
    """
    given = dict(keywords)

    def setting(name: str) -> Any:
        return given[name] if name in given else getattr(config, name, None)

    if (setting("num_beams") or 1) > 1:
        raise ValueError(
            f"num_beams={setting('num_beams')} can't be done: MindFormers has no beam search for this network; "
            "leave num_beams out, and set do_sample=True for variety"
        )
    eos = setting("eos_token_id")
    if eos is None or isinstance(eos, int):
        given["eos_token_id"] = eos = [] if eos is None else [eos]
    longest = max(map(len, prompts), default=0)
    new = setting("max_new_tokens")
    if new is not None and new < 1:
        raise ValueError(f"max_new_tokens must be at least 1, not {new}")
    if new is None and "max_length" not in given and setting("max_length") == _DEFAULT_LENGTH:
        given["max_length"] = min(longest + _DEFAULT_LENGTH, seq_length)
    if new is None and setting("max_length") is not None and setting("max_length") <= longest:
        raise ValueError(
            f"max_length={setting('max_length')} counts the prompt, which has {longest} tokens already: set "
            "max_new_tokens instead"
        )
    pad = setting("pad_token_id")
    # Of a single prompt nothing is padding unless transformers would take it for that.
    if len(prompts) == 1 and longest and (pad is None or pad in eos) and prompts[0][-1] == (pad or 0):
        given["pad_token_id"] = 0 if prompts[0][-1] else 1
    return given
