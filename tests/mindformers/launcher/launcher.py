"""A launcher as users have them: a YAML, command-line values over it, and MindFormers' Trainer.

It knows nothing of the shim. It makes the calls of MindFormers' own ``run_mindformer.py`` in its order:
arguments, ``MindFormerConfig``, ``build_context``, ``Trainer``, ``predict``.
"""

import argparse

from mindformers.core.context import build_context
from mindformers.tools.register import MindFormerConfig
from mindformers.tools.utils import parse_value
from mindformers.trainer import Trainer

try:
    from mindformers.utils.file_utils import set_output_path
except ImportError:  # before 1.8.0
    from mindformers.tools import set_output_path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    parser.add_argument("--device_target")
    parser.add_argument("--mode", type=int)
    parser.add_argument("--use_parallel", action="store_true")
    parser.add_argument("--predict_data")
    parser.add_argument("--output_dir")
    known, others = parser.parse_known_args()

    config = MindFormerConfig(known.config)
    if known.device_target is not None:
        config.context.device_target = known.device_target
    if known.mode is not None:
        config.context.mode = known.mode
    if known.output_dir is not None:
        config.output_dir = known.output_dir
    config.use_parallel = known.use_parallel
    config.input_data = known.predict_data
    for option, value in zip(others[::2], others[1::2], strict=True):
        *sections, field = option.removeprefix("--").split(".")
        section = config
        for name in sections:
            section = section[name]
        section[field] = parse_value(value)

    set_output_path(config.output_dir)
    build_context(config)
    trainer = Trainer(config)
    trainer.predict(
        predict_checkpoint=config.load_checkpoint,
        input_data=config.input_data,
        batch_size=config.predict_batch_size,
        adapter_id=config.adapter_id,
    )


if __name__ == "__main__":
    main()
