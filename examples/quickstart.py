"""Load a HuggingFace Qwen3 directory with stock MindFormers, and let it speak.

    python quickstart.py [DIRECTORY] [PROMPT]

By default it loads the tiny Qwen3 that comes with the package and greets it. On a machine without an
NPU the stand-ins for the Ascend-only kernels are switched on.
"""

import mf_qwen3_patch  # isort: skip  (first, so that everything below is patched as it is imported)

import sys
from pathlib import Path

import mindspore

from mindformers import AutoModel, AutoTokenizer

MICRO_QWEN3 = Path(mf_qwen3_patch.__file__).parent / "micro_qwen3"


def main() -> None:
    directory = sys.argv[1] if len(sys.argv) > 1 else MICRO_QWEN3
    prompts = sys.argv[2:] or ["你好", "Hello"]

    if mindspore.get_context("device_target") == "CPU":
        mf_qwen3_patch.enable_cpu_kernels()

    model = AutoModel.from_pretrained(directory)
    print(model.mf_qwen3_report)

    tokenizer = AutoTokenizer.from_pretrained(directory)
    for prompt in prompts:
        (tokens,) = model.generate([tokenizer(prompt).input_ids], max_new_tokens=64, do_sample=False)
        print(tokenizer.decode(tokens, skip_special_tokens=True))


if __name__ == "__main__":
    main()
