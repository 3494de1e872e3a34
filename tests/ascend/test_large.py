"""Half a gigabyte and more: what a load leaves to the card, what it takes there, and what is left on the host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ascend.rehearsal import Rehearse
from tests.support.checkpoints import TINY_MOE, fill_sparse_checkpoint, weight_files, write_sparse_checkpoint

# One layer of published widths; the vocabulary is small.
pytestmark = pytest.mark.sweep

_DENSE = {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32, "num_key_value_heads": 8}
_EXPERTS = {"num_experts": 48, "num_experts_per_tok": 8, "moe_intermediate_size": 768}
_WIDTHS = {"hidden_size": 2048, "intermediate_size": 6144, "num_attention_heads": 32, "num_key_value_heads": 4}
_MIXTURE = {**TINY_MOE, **_EXPERTS, **_WIDTHS}
_SHARED = {"num_hidden_layers": 1, "head_dim": 128, "vocab_size": 8192}

# The arguments: the directory, and what brings the parameters to the card.
_LOAD = """
    import gc
    import sys
    import zlib
    import mf_qwen3_patch
    import mindspore
    from mindspore import mint
    from mindformers import AutoModel
    from tests.ascend.counters import counters, operators

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def checksums():
        return {one.name: zlib.crc32(one.asnumpy().view("u1")) for one in model.get_parameters()}

    directory, uploaded_by = sys.argv[1:]
    model = AutoModel.from_pretrained(directory, num_blocks=16)
    built, launched = counters(), operators()
    model.load_weights(directory)
    loaded, launched_then = counters(), operators()
    on_host = checksums()
    gc.collect()
    before = resident()
    if uploaded_by == "operators":
        for one in model.get_parameters():
            mint.sum(one)
        mindspore.runtime.synchronize()
    else:
        try:
            model.generate([[5]], max_new_tokens=2, do_sample=False)
        except RuntimeError as error:
            print("generate ended in:", str(error).splitlines()[0])
    uploaded, peak = counters(), mindspore.runtime.max_memory_allocated()
    gc.collect()
    after = resident()
    on_card = checksums()
    give({
        "sizes": [one.nbytes for one in model.get_parameters()],
        "built": built, "loaded": loaded, "uploaded": uploaded, "read": counters(),
        "launched": launched, "launched in a load": launched_then - launched,
        "peak": peak, "resident": [before, after], "same": on_host == on_card,
    })
"""


@pytest.fixture(scope="module", params=[_DENSE, _MIXTURE], ids=["dense", "mixture"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("large")
    write_sparse_checkpoint(directory, shards=2, **{**request.param, **_SHARED})
    fill_sparse_checkpoint(directory)
    yield directory
    for file in weight_files(directory):
        file.unlink()


@pytest.fixture(scope="module")
def by_operators(large: Path, rehearse_once: Rehearse) -> dict[str, Any]:
    found: dict[str, Any] = rehearse_once(_LOAD, large, "operators").result
    assert sum(found["sizes"]) > 0.5e9
    return found


def test_a_load_and_its_verification_launch_and_move_nothing(by_operators: dict[str, Any]) -> None:
    assert by_operators["loaded"] == by_operators["built"]
    assert by_operators["launched in a load"] == {}
    # Stock's own, when it builds a network: the table of angles, the mask, and a router's zeros, made on the card.
    assert by_operators["built"]["h2d_bytes"] < 1000
    assert by_operators["built"]["d2h_bytes"] <= 0.001 * sum(by_operators["sizes"])


def test_every_parameter_goes_up_once_and_takes_its_size(by_operators: dict[str, Any]) -> None:
    sizes, loaded, uploaded = by_operators["sizes"], by_operators["loaded"], by_operators["uploaded"]
    assert uploaded["h2d_bytes"] - loaded["h2d_bytes"] == sum(sizes)
    assert uploaded["h2d_copies"] - loaded["h2d_copies"] == len(sizes)
    assert uploaded["d2h_copies"] == loaded["d2h_copies"]
    assert by_operators["peak"] <= 1.02 * sum(sizes)


def test_the_host_keeps_no_copy_and_the_card_holds_what_was_loaded(by_operators: dict[str, Any]) -> None:
    before, after = by_operators["resident"]
    # The card's memory is this process' too: what went up must have left.
    assert after - before <= 0.02 * sum(by_operators["sizes"])
    assert by_operators["read"]["d2h_bytes"] >= sum(by_operators["sizes"])
    assert by_operators["same"]


def test_a_step_of_the_network_uploads_every_parameter_once(large: Path, rehearse: Rehearse) -> None:
    found = rehearse(_LOAD, large, "generate").result
    moved = found["uploaded"]["h2d_bytes"] - found["loaded"]["h2d_bytes"]
    assert sum(found["sizes"]) <= moved <= 1.02 * sum(found["sizes"])
    assert found["same"]
