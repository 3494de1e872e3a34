"""The emulated device itself: it rounds as a device does, and what it cannot do is an error that says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ascend.emulated_device.build import absent_kernels
from tests.ascend.rehearsal import Rehearsal

Emulate = Callable[..., Rehearsal]


@pytest.mark.sweep
def test_a_cast_rounds_to_the_nearest_as_numpy_does(emulate: Emulate) -> None:
    script = """
        import mindspore, numpy as np
        from mindspore import Tensor

        mindspore.set_context(device_target="Ascend", mode=1)
        halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
        halves = halves[np.isfinite(halves)].astype(np.float32)
        steps = np.sort(halves)
        # Every value, every tie between two neighbors, and what is next to it.
        ties = (steps[1:] + steps[:-1]) / 2
        values = np.concatenate([halves, ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(1e9))])
        values = np.append(values, np.float32([65519.9, 65520, 1e9, np.inf, -np.inf])).astype(np.float32)
        there = Tensor(values).astype(mindspore.float16)
        bits = values.view(np.uint32)
        even = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).view(np.float32)
        give({
            "float16": bool((there.asnumpy().view(np.uint16) == values.astype(np.float16).view(np.uint16)).all()),
            "and back": bool((Tensor(values.astype(np.float16)).astype(mindspore.float32).asnumpy()
                              == values.astype(np.float16).astype(np.float32)).all()),
            "bfloat16": bool((Tensor(values).astype(mindspore.bfloat16).astype(mindspore.float32).asnumpy() == even).all()),
        })
    """
    assert emulate(script).result == {"float16": True, "and back": True, "bfloat16": True}


@pytest.mark.sweep
def test_an_operator_that_is_not_there_is_named(emulate: Emulate) -> None:
    script = """
        import mindspore
        from mindspore import Tensor, mint

        mindspore.set_context(device_target="Ascend", mode=1)
        try:
            give(mint.erf(Tensor([1.0])).asnumpy())
        except RuntimeError as error:
            give(str(error))
    """
    assert "the emulated device has no aclnnErf" in emulate(script).result


def test_a_kernel_that_is_not_there_is_generated_to_say_so(tmp_path: Path) -> None:
    header, source = tmp_path / "op_creator.h", tmp_path / "kernels.cpp"
    header.write_text(
        "InternalOpPtr CreateHereOp(const Infos &inputs_ii,\n    const std::string &op_name);\n"
        "InternalOpPtr CreateThereOp(const Infos &inputs_ii, const std::string &op_name);\n"
    )
    source.write_text("FACTORY(CreateHereOp, Here)\n")
    lines = absent_kernels(header, [source]).splitlines()
    assert [line for line in lines if "Create" in line] == [
        'InternalOpPtr CreateThereOp(const Infos &, const std::string &) { return emulated::absent_kernel("There"); }'
    ]
