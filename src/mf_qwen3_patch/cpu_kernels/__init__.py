"""Opt-in CPU stand-ins for the kernels that MindFormers' inference uses and only Ascend has.

With them the stock inference network runs on a laptop, slowly and rightly: to try, to test, to
compare with HuggingFace. They are numpy, confined to MindFormers' inference modules, and pass every
call on to the real kernel as soon as MindSpore's device target is anything but the CPU.

Where MindSpore finds no other device, a YAML or a context that is made for Ascend gets the CPU's device
target, mode and dtypes.

As soon as one is used, MindSpore launches operations one at a time in this process
(``mindspore.runtime.launch_blocking``, which can't be taken back).

``enable_cpu_kernels()`` must come before the model is built: a network keeps the kernels that it
was built with.
"""

from mf_qwen3_patch.cpu_kernels.switch import disable, enable, is_enabled

__all__ = ["disable", "enable", "is_enabled"]
