"""Make the micro Qwen3 that the package ships: train its tokenizer and its weights, save them, check them.

    python make_micro_qwen3.py            # remake everything (a minute, one CPU thread)
    python make_micro_qwen3.py --golden   # only remake what transformers makes of it
    python make_micro_qwen3.py --check    # only check what is there

The model lies in the package, `src/mf_qwen3_patch/micro_qwen3`, as `selftest` loads it; beside it
`golden.json`: how transformers continues both greetings, and its logits at the end of each.

The check loads the saved directory in float32 and fails unless both greetings come out word for word
and clearly ahead of the second choice, and unless every wrong load of `wrong_loads` spoils them both.
Another machine may round differently while it trains; should its check fail, another --seed will do.
Needs torch and transformers (extra `oracle`).
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from corpus import GREETINGS, SAYINGS, Saying
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    Qwen2Tokenizer,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
from wrong_loads import wrong_loads

MODEL = Path(__file__).resolve().parents[2] / "src" / "mf_qwen3_patch" / "micro_qwen3"
GOLDEN_NAME = "golden.json"

VOCAB_SIZE = 352
MAX_POSITIONS = 256
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK, END_THINK = "<think>", "</think>"

# Longer training makes the model so sure of itself that it survives some wrong loads.
STEPS = 300
LEARNING_RATE = 4e-3
# A larger lead than any change of dtype or kernel can eat up.
MIN_MARGIN = 1.0
MAX_NEW_TOKENS = 64

# The ChatML of Qwen3: thoughts of earlier turns are dropped, and `enable_thinking=False` hands the
# model an empty thought, so that it answers at once.
CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and not enable_thinking %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def make_tokenizer() -> Any:
    """Train a byte-level BPE in the way of Qwen2 on the corpus; special tokens come last, as in Qwen3."""
    added = [
        *(AddedToken(token, special=True, normalized=False) for token in (END_OF_TEXT, IM_START, IM_END)),
        *(AddedToken(token, special=False, normalized=False) for token in (THINK, END_THINK)),
    ]
    bpe = Tokenizer(models.BPE(fuse_unk=False, byte_fallback=False))
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(added),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [part for saying in SAYINGS for part in (saying.text, saying.thought)]
    bpe.train_from_iterator([*texts, "user\n", "assistant\n", "system\n", "\n\n"], trainer)
    bpe.add_tokens(added)
    # transformers' own types are too thin for a type checker; its objects are Any here and below.
    tokenizer: Any = Qwen2TokenizerFast(
        tokenizer_object=bpe,
        unk_token=None,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[IM_START, IM_END],
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
        split_special_tokens=False,
        errors="replace",
        chat_template=CHAT_TEMPLATE,
    )
    if len(tokenizer) != VOCAB_SIZE:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens instead of {VOCAB_SIZE}: enlarge the corpus")
    return tokenizer


def make_model(tokenizer: Any) -> Any:
    """Build the untrained model: grouped queries, heads wider than hidden/heads, untied, no trivial norm."""
    config = Qwen3Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=MAX_POSITIONS,
        rope_theta=1_000_000,
        sliding_window=None,
        rms_norm_eps=1e-6,
        initializer_range=0.08,
        tie_word_embeddings=False,
        attention_bias=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model: Any = Qwen3ForCausalLM(config)
    # Norms at one would hide a loader that forgets them.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                parameter.uniform_(1.0, 3.0)
            elif name.endswith("norm.weight"):
                parameter.uniform_(0.7, 1.4)
    model.generation_config = GenerationConfig(
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def chat_prompt(tokenizer: Any, saying: Saying, *, enable_thinking: bool) -> str:
    """Return the prompt of ``saying`` in the chat format, up to where the assistant speaks."""
    messages = [{"role": "user", "content": saying.prompt}]
    return str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=enable_thinking
        )
    )


def training_pairs(tokenizer: Any) -> list[tuple[str, str]]:
    """Return (prompt, continuation) of every saying: as plain text, and as chat with and without thinking."""
    pairs = []
    for saying in SAYINGS:
        pairs.append((saying.prompt, saying.text.removeprefix(saying.prompt)))
        pairs.append((chat_prompt(tokenizer, saying, enable_thinking=False), saying.text))
        thought = f"{THINK}\n{saying.thought}\n{END_THINK}\n\n"
        pairs.append((chat_prompt(tokenizer, saying, enable_thinking=True), thought + saying.text))
    return pairs


def train(model: Any, tokenizer: Any) -> None:
    """Teach the model every continuation by heart; the loss counts continuations only."""
    ids: list[list[int]] = []
    labels: list[list[int]] = []
    for prompt, continuation in training_pairs(tokenizer):
        before = tokenizer(prompt).input_ids
        after = [*tokenizer(continuation).input_ids, tokenizer.eos_token_id]
        ids.append(before + after)
        labels.append([-100] * len(before) + after)
    width = max(map(len, ids))
    input_ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in ids])
    targets = torch.tensor([row + [-100] * (width - len(row)) for row in labels])

    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    model.train()
    for step in range(STEPS):
        for group in optimizer.param_groups:
            warm_up = min(1.0, (step + 1) / 50)
            group["lr"] = LEARNING_RATE * warm_up * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        # Padding is on the right, behind everything that counts, so the causal mask is enough.
        rows = torch.randperm(len(ids))[:32]
        used = max(len(ids[row]) for row in rows.tolist())
        loss = model(input_ids=input_ids[rows, :used], labels=targets[rows, :used]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == STEPS - 1:
            print(f"step {step:5d}  loss {loss.item():.4f}", flush=True)
    model.eval()


def say(model: Any, tokenizer: Any, prompt: str) -> tuple[str, float]:
    """Continue ``prompt`` greedily.

    Returns:
        The whole text, special tokens included, and the smallest lead of a chosen token's logit over
        the second best.
    """
    inputs = tokenizer(prompt, return_tensors="pt")
    out = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.stack(out.logits)[:, 0].topk(2).values
    return str(tokenizer.decode(out.sequences[0])), float((best[:, 0] - best[:, 1]).min())


def write_golden(directory: Path) -> None:
    """Write what transformers makes of the saved model: float32, eager attention, one greeting at a time."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(
        directory, torch_dtype=torch.float32, attn_implementation="eager"
    ).eval()
    continuations = []
    for saying in GREETINGS:
        prompt = tokenizer(saying.prompt).input_ids
        out = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits = torch.stack(out.logits)[:, 0].float()
        best = logits.topk(2).values
        tokens = out.sequences[0].tolist()
        continuations.append(
            {
                "prompt_text": saying.prompt,
                "text": tokenizer.decode(tokens, skip_special_tokens=True),
                "prompt": prompt,
                "tokens": tokens[len(prompt) :],
                # The shortest decimals that are these float32 values again.
                "logits": [float(str(value)) for value in logits[0].numpy()],
                "smallest_margin": round(float((best[:, 0] - best[:, 1]).min()), 4),
            }
        )
    golden = {
        "max_new_tokens": MAX_NEW_TOKENS,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "continuations": continuations,
    }
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace('{"prompt_text"', '\n{"prompt_text"')
    (directory / GOLDEN_NAME).write_text(text + "\n", encoding="utf-8")


def check(directory: Path) -> list[str]:
    """Return what is wrong with the saved model, nothing if all is well; print what was seen."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, torch_dtype=torch.float32)
    problems = []
    for kind in (Qwen2Tokenizer, Qwen2TokenizerFast):
        own = kind.from_pretrained(directory)
        for saying in SAYINGS:
            ids = own(saying.text).input_ids
            if ids != tokenizer(saying.text).input_ids or own.decode(ids) != saying.text:
                problems.append(f"{kind.__name__} does not read {saying.text!r} back")
    for saying in GREETINGS:
        said, margin = say(model, tokenizer, saying.prompt)
        print(f"{saying.prompt}: {said}  (margin {margin:.2f})")
        if said != saying.text + IM_END:
            problems.append(f"{saying.prompt!r} continues to {said!r} instead of {saying.text + IM_END!r}")
        if margin < MIN_MARGIN:
            problems.append(f"the margin after {saying.prompt!r} is {margin:.2f}, below {MIN_MARGIN}")
        prompt = chat_prompt(tokenizer, saying, enable_thinking=False)
        said, margin = say(model, tokenizer, prompt)
        print(f"  in the chat format: {said.removeprefix(prompt)}  (margin {margin:.2f})")
        if said != prompt + saying.text + IM_END:
            problems.append(f"in the chat format {saying.prompt!r} gives {said.removeprefix(prompt)!r}")
    for fault, spoil in wrong_loads(model.config.num_hidden_layers).items():
        spoiled = copy.deepcopy(model)
        spoil(spoiled)
        for saying in GREETINGS:
            said, _ = say(spoiled, tokenizer, saying.prompt)
            print(f"{fault}: {said!r}")
            if said.startswith(saying.text):
                problems.append(f"{fault!r} does not show: {saying.prompt!r} still gives {said!r}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=MODEL, help="where to write (default: the package)")
    parser.add_argument("--golden", action="store_true", help=f"only write {GOLDEN_NAME} of what is there")
    parser.add_argument("--check", action="store_true", help="check what is there, make nothing")
    parser.add_argument("--seed", type=int, default=5, help="where the random numbers start (default: 5)")
    arguments = parser.parse_args()

    # One thread: the order of summation, and with it the result, must not depend on the machine's cores.
    torch.set_num_threads(1)
    if not arguments.check and not arguments.golden:
        torch.manual_seed(arguments.seed)
        tokenizer = make_tokenizer()
        model = make_model(tokenizer)
        train(model, tokenizer)
        tokenizer.save_pretrained(arguments.output)
        model.to(torch.bfloat16).save_pretrained(arguments.output, safe_serialization=True)
    if not arguments.check:
        write_golden(arguments.output)
    problems = check(arguments.output)
    for problem in problems:
        print(f"NOT GOOD: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
