"""Load a HuggingFace Qwen3 directory into stock MindFormers and try it: what took a hand-written script of eight steps.

python qwen3_direct.py --model_dir DIR [--config predict_qwen3_14b.yaml] [--tokenizer_path DIR]
                       [--use_training_conversion] [--test_mode generate|forward|both] [--prompt TEXT]

Without an NPU set MF_QWEN3_PATCH_CPU=1.
"""

import mf_qwen3_patch  # isort: skip  (first)

import argparse
from pathlib import Path

import mindspore
import numpy as np
from mindformers.tools.register import MindFormerConfig

from mindformers import AutoModel, AutoTokenizer, build_context


def load(options):
    """Return the loaded model; its report says what was checked."""
    settings = {}
    if options.config:
        config = MindFormerConfig(options.config)
        build_context(config)
        given = config.model.model_config or {}
        settings = {name: given[name] for name in ("seq_length", "compute_dtype", "params_dtype") if name in given}
    model = AutoModel.from_pretrained(options.model_dir, **settings)
    print(model.mf_qwen3_report)
    if options.use_training_conversion:  # the same again by hand: files, names and merging, parameters, network
        weights = {}
        for file in sorted(Path(options.model_dir).glob("*.safetensors")):
            weights |= mindspore.load_checkpoint(str(file), format="safetensors")
        not_loaded, left_over = mindspore.load_param_into_net(model, model.convert_weight_dict(weights))
        print(f"training conversion: not loaded {not_loaded}, left over {left_over}")
    return model


def forward(model, tokenizer, tokens):
    """Run the network once and print what it would say next."""
    output = model.generate(
        [tokens], max_new_tokens=1, do_sample=False, return_dict_in_generate=True, output_logits=True
    )
    logits = np.asarray(output["logits"][0][0])
    best = np.argsort(-logits)[:5]
    print(f"forward: {logits.size} finite logits" if np.isfinite(logits).all() else "forward: NaN or infinity")
    print("forward: next", [(tokenizer.decode([token]), round(float(logits[token]), 2)) for token in best])


def generate(model, tokenizer, tokens):
    """Print the whole answer."""
    (answer,) = model.generate([tokens], max_new_tokens=64, do_sample=False)
    print("generate:", tokenizer.decode(answer, skip_special_tokens=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", required=True, help="with config.json and *.safetensors")
    parser.add_argument("--config", help="a MindFormers YAML: its context, dtypes and seq_length")
    parser.add_argument("--tokenizer_path", help="where the tokenizer is; by default model_dir")
    parser.add_argument("--use_training_conversion", action="store_true", help="also load by convert_weight_dict")
    parser.add_argument("--test_mode", choices=("generate", "forward", "both"), default="both")
    parser.add_argument("--prompt", default="你好")
    options = parser.parse_args()
    try:
        model = load(options)
    except mf_qwen3_patch.Qwen3PatchError as error:
        raise SystemExit(str(error)) from None
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer_path or options.model_dir)
    tokens = tokenizer(options.prompt).input_ids
    if options.test_mode in ("forward", "both"):
        forward(model, tokenizer, tokens)
    if options.test_mode in ("generate", "both"):
        generate(model, tokenizer, tokens)


if __name__ == "__main__":
    main()
