"""What a load moves: nothing, until the first step uploads every parameter once."""

from __future__ import annotations

from tests.ascend.rehearsal import Rehearse

_LOAD = """
    import mf_qwen3_patch, mindspore
    from mindformers import AutoModel
    from mf_qwen3_patch.cli.selftest import MICRO_QWEN3
    from tests.ascend.counters import counters, operators

    model = AutoModel.from_pretrained(MICRO_QWEN3)
    built, launched = counters(), operators()
    model.load_weights(str(MICRO_QWEN3))
    loaded = counters()
    uploads = []
    for _ in range(2):
        before = counters()["h2d_bytes"]
        model.generate([[288]], max_new_tokens=2, do_sample=False)
        uploads.append(counters()["h2d_bytes"] - before)
    sizes = [one.nbytes for one in model.get_parameters()]
    first = {one.name: one.asnumpy().tobytes().hex() for one in model.get_parameters()}
    model.load_weights(str(MICRO_QWEN3))
    again = {one.name: one.asnumpy().tobytes().hex() for one in model.get_parameters()}
    give([built, loaded, dict(launched), uploads, sizes, first == again])
"""


def test_load_and_verification_touch_no_card_and_a_second_load_is_verified(rehearse: Rehearse) -> None:
    built, loaded, launched, uploads, sizes, same = rehearse(_LOAD).result
    assert built["d2h_copies"] == 0
    assert loaded == built, "a load into a built model moves and launches nothing"
    # Stock's own, when it builds a network: the table of angles, and the mask.
    assert sum(launched.values()) == built["launches"] <= 20
    assert built["h2d_bytes"] < 1000
    # Every call uploads its inputs, a mask among them. The first one the parameters, too, and the tables of angles.
    assert sum(sizes) <= uploads[0] - uploads[1] <= 1.2 * sum(sizes)
    assert same
