"""Loads one checkpoint in one way, once, and prints what it took as JSON; load.py starts it.

``python contestants.py NAME DIRECTORY DTYPE BYTES_TO_TOUCH``
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from page_cache import device_bytes

# What a load needs is done in two steps: prepare (imports, context, network; timed apart), then load.
Load = Callable[[], Any]


def shim(directory: str, dtype: str) -> tuple[Load, Load]:
    """mf_qwen3_patch: preflight, plan, load, proof, report."""
    import mf_qwen3_patch

    mf_qwen3_patch.enable_cpu_kernels()
    build_cpu_context()
    from mf_qwen3_patch.families.registry import FAMILIES
    from mf_qwen3_patch.loading.pretrained import load_weights
    from mf_qwen3_patch.loading.runtime.network import build_model

    config, _ = _config_and_network(directory, dtype)
    family = FAMILIES[config.model_type]
    model: list[Any] = []
    return lambda: model.append(build_model(config, family)), lambda: load_weights(model[0], directory, family=family)


def stock(directory: str, dtype: str) -> tuple[Load, Load]:
    """Stock MindFormers: load_weights, as run_mindformer.py calls it."""
    build_cpu_context()
    build = network_builder(directory, dtype)
    model: list[Any] = []
    return lambda: model.append(build()), lambda: model[0].load_weights(directory)


def manual(directory: str, dtype: str) -> tuple[Load, Load]:
    """Manual conversion: load_checkpoint, the training conversion, Parameters, load_param_into_net."""
    os.environ["MF_QWEN3_PATCH"] = "0"  # its conversion is borrowed, in the inference layout; nothing is patched
    build_cpu_context()
    import mindspore
    from mindspore import Parameter, Tensor

    from mf_qwen3_patch.loading.weight_dict import convert_weight_dict

    build = network_builder(directory, dtype)
    model: list[Any] = []

    def load() -> None:
        weights = mindspore.load_checkpoint(f"{directory}/model.safetensors", format="safetensors")
        converted = convert_weight_dict(type(model[0]), weights)
        parameters = {
            name: value if isinstance(value, Parameter) else Parameter(Tensor(value), name=name)
            for name, value in converted.items()
        }
        not_loaded, _ = mindspore.load_param_into_net(model[0], parameters)
        if not_loaded:
            raise RuntimeError(f"not loaded: {not_loaded}")

    return lambda: model.append(build()), load


def shim_from_pretrained(directory: str, dtype: str) -> tuple[Load, Load]:
    """mf_qwen3_patch as it is used: the first AutoModel.from_pretrained of a process, which builds and loads."""
    import mf_qwen3_patch

    mf_qwen3_patch.enable_cpu_kernels()
    from mindformers import AutoModel

    model: list[Any] = []
    return lambda: None, lambda: model.append(AutoModel.from_pretrained(directory, torch_dtype=dtype))


def huggingface(directory: str, dtype: str) -> tuple[Load, Load]:
    """HuggingFace transformers as it is used: the first AutoModelForCausalLM.from_pretrained of a process."""
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype)
    model: list[Any] = []

    def load() -> Any:
        model.append(AutoModelForCausalLM.from_pretrained(directory, torch_dtype=kind))
        return model[0]

    return lambda: None, load


def huggingface_imported(directory: str, dtype: str) -> tuple[Load, Load]:
    """Time HuggingFace with its imports done before; from_pretrained brings in the model's code when first called."""
    from transformers import Qwen3ForCausalLM, modeling_utils  # noqa: F401

    return huggingface(directory, dtype)


def huggingface_read(directory: str, dtype: str) -> tuple[Load, Load]:
    """Time HuggingFace until every weight is in memory: where the dtype is the file's it only maps the file."""
    prepare, from_pretrained = huggingface_imported(directory, dtype)
    import torch

    def load() -> None:
        for parameter in from_pretrained().parameters():
            parameter.detach().view(torch.uint8).flatten()[::4096].sum()

    return prepare, load


def floor(directory: str, dtype: str) -> tuple[Load, Load]:
    """Read each byte once and write each byte of the parameters once, with one thread: nothing is loaded."""
    import numpy as np

    path = Path(directory) / "model.safetensors"
    size = path.stat().st_size
    chunk = 1 << 20
    target_bytes = {"float32": 4, "float16": 2, "bfloat16": 2}[dtype]
    out: list[Any] = []

    def load() -> None:
        target = np.empty(size // 2 * target_bytes, np.uint8)
        scratch = np.empty(chunk, np.uint8)
        descriptor = os.open(path, os.O_RDONLY)
        for start in range(0, size - chunk, chunk):
            part = target[start // 2 * target_bytes : (start + chunk) // 2 * target_bytes]
            if dtype == "bfloat16":
                os.preadv(descriptor, [part], start)
            else:
                os.preadv(descriptor, [scratch], start)
                part.fill(1)
        os.close(descriptor)
        out.append(target)

    return lambda: None, load


def direct_floor(directory: str, dtype: str) -> tuple[Load, Load]:
    """Read each byte past the page cache, with 4 threads of 8 MiB each: what the disk gives, and nothing is loaded."""
    import threading

    path, chunk = Path(directory) / "model.safetensors", 8 << 20
    size = path.stat().st_size

    def load() -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
        starts, lock = iter(range(0, size, chunk)), threading.Lock()

        def read() -> None:
            memory = mmap.mmap(-1, chunk)  # aligned
            while True:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                os.preadv(descriptor, [memory], start)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.close(descriptor)

    return lambda: None, load


CONTESTANTS = {
    function.__name__: function
    for function in (
        *(shim, shim_from_pretrained, stock, manual),
        *(huggingface, huggingface_imported, huggingface_read, floor, direct_floor),
    )
}


def build_cpu_context() -> None:
    """Set MindFormers up for inference on the CPU."""
    os.environ["RUN_MODE"] = "predict"
    os.environ["ENFORCE_EAGER"] = "true"
    from mindformers import build_context

    context = {"mode": 1, "device_target": "CPU"}
    build_context({"use_legacy": False, "run_mode": "predict", "context": context, "parallel": {}})


def network_builder(directory: str, dtype: str) -> Load:
    """Return what builds MindFormers' network of the checkpoint, with parameters that have no values yet."""
    from mindspore.nn.utils import no_init_parameters

    config, network = _config_and_network(directory, dtype)

    def build() -> Any:
        with no_init_parameters():
            return network(config)

    return build


def _config_and_network(directory: str, dtype: str) -> tuple[Any, Any]:
    """Return MindFormers' config of the checkpoint, and the class of its network."""
    values = json.loads((Path(directory) / "config.json").read_text())
    del values["torch_dtype"]
    if values["model_type"] == "qwen3_moe":
        from mindformers.models.qwen3_moe import Qwen3MoeConfig as Config
        from mindformers.models.qwen3_moe.modeling_qwen3_moe_infer import InferenceQwen3MoeForCausalLM as Network
    else:
        from mindformers.models.qwen3 import Qwen3Config as Config
        from mindformers.models.qwen3.modeling_qwen3_infer import InferenceQwen3ForCausalLM as Network
    return Config(**values, params_dtype=dtype, compute_dtype="float32", seq_length=128), Network


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def main() -> None:
    name, directory, dtype, touch = sys.argv[1:]
    # Memory that a virtual machine has not touched before, or has given back, costs several times more on first
    # touch. A child touches it, as numpy's large arrays do, in huge pages (the system keeps those apart), and frees it
    # right before the load, as it is soon given back again.
    hold = f"import numpy, sys; memory = numpy.ones({touch}, 'u1'); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE)
    build, load = CONTESTANTS[name](directory, dtype)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    started = time.perf_counter()
    build()
    build_seconds = time.perf_counter() - started
    holder.communicate()
    if holder.returncode:
        raise SystemExit(f"{touch} bytes of memory could not be touched before the load")
    read_before = device_bytes(Path(directory))
    started = time.perf_counter()
    load()
    seconds = time.perf_counter() - started
    read_after = device_bytes(Path(directory))
    result = {
        "seconds": seconds,
        "seconds_with_build": build_seconds + seconds,
        "peak_bytes": _status("VmHWM"),
        "peak_over_imports": _status("VmHWM") - before,
        "device_bytes": None if read_before is None or read_after is None else read_after - read_before,
    }
    print("@@result@@", json.dumps(result))


if __name__ == "__main__":
    main()
