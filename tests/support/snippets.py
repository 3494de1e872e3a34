"""The ways in which MindFormers' documentation predicts with a model, on the tiny Qwen3 that the package ships.

Each runs as a person would type it, in a process of its own with a time limit. Stock is what it is without the shim.
"""

from __future__ import annotations

import functools
import json
import sysconfig
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.support.forked import run_forked
from tests.support.processes import ROOT, run_script

MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
YAML = Path(sysconfig.get_path("purelib")) / "configs" / "qwen3" / "predict_qwen3.yaml"
PROMPT, ANSWER = "你好", "你好！我是通义千问，由阿里云开发的AI助手。"
THOUGHT = "<think>\n他说你好，我也说你好。\n</think>\n\n"  # before an answer, when the chat template asks for it
RIGHT = "right tokens"
_SECONDS = 60  # what works takes less than 5


@dataclass(frozen=True)
class Snippet:
    """One way to predict.

    Attributes:
        name: In the documents' table, as Markdown.
        code: What is typed. Uses ``DIR``, ``YAML``, ``PROMPT`` and ``mindformers``, and leaves ``said``: text or tokens.
        says: The text that is right.
        error: With the shim, the class and the beginning of the error that says what to do, if it can't work.
        quick: Whether it runs on every release; the others show a variant of what these show.
    """

    name: str
    code: str
    says: str = ANSWER
    error: str = ""
    quick: bool = False


_OBJECTS = """
from mindformers import AutoModel, AutoTokenizer
model = AutoModel.from_pretrained(DIR)
tokenizer = AutoTokenizer.from_pretrained(DIR)
"""
_GENERATE = "said = model.generate(tokenizer(PROMPT)['input_ids'], do_sample=False, max_new_tokens=64)"
_CHAT = '[{"role": "user", "content": PROMPT}]'
_CONFIG = """
from mindformers import MindFormerConfig, build_context
config = MindFormerConfig(YAML)
config.pretrained_model_dir = config.load_checkpoint = DIR
config.checkpoint = MindFormerConfig(load_path=DIR)  # what 1.9.0 and later call load_checkpoint
"""
# The calls of MindFormers' adapter of the lm-evaluation-harness, in its order; nothing of the harness itself.
_ADAPTER = f"""{_CONFIG}
import mindspore
from mindspore.common.initializer import One
from mindspore.nn.utils import no_init_parameters
from mindformers import AutoModel, AutoTokenizer, build_parallel_config
from mindformers.trainer.utils import transform_and_load_checkpoint
from mindformers.utils.load_checkpoint_utils import get_load_path_after_hf_convert
build_context(config)
build_parallel_config(config)
tokenizer = AutoTokenizer.from_pretrained(DIR)
with no_init_parameters():
    model = AutoModel.from_config(config)
config.load_checkpoint = get_load_path_after_hf_convert(config, model)
inputs = mindspore.Tensor(shape=(1, 128), dtype=mindspore.int32, init=One())
layout = model.prepare_inputs_for_predict_layout(inputs)
transform_and_load_checkpoint(config, mindspore.Model(model), model, layout, do_predict=True)
model.init_parameters_data()
"""
_ENCODED = 'tokenizer([PROMPT], padding="longest", return_tensors="ms", add_special_tokens=False)["input_ids"]'


def _generating(*lines: str) -> str:
    """Return a snippet that makes a model; its tokenizer is transformers' own, so that the model is what is tried."""
    imports = (
        "from mindformers import AutoConfig, AutoModel",
        "from transformers import AutoTokenizer",
        "tokenizer = AutoTokenizer.from_pretrained(DIR)",
    )
    return "\n".join([*imports, *lines, _GENERATE])


SNIPPETS = (
    Snippet(
        '`pipeline("text_generation", model=DIR)`',
        'said = mindformers.pipeline("text_generation", model=DIR)(PROMPT)',
        quick=True,
    ),
    Snippet(
        '`pipeline("text_generation", model=model, tokenizer=tokenizer)`',
        f'{_OBJECTS}said = mindformers.pipeline("text_generation", model=model, tokenizer=tokenizer)(PROMPT)',
    ),
    Snippet(
        "`AutoModel.from_config(AutoConfig.from_pretrained(DIR))`, `load_weights(DIR)`",
        _generating("model = AutoModel.from_config(AutoConfig.from_pretrained(DIR))", "model.load_weights(DIR)"),
        quick=True,
    ),
    Snippet(
        "`AutoModel.from_config(MindFormerConfig(YAML))`, `load_weights(DIR)`",
        _generating(
            _CONFIG, "build_context(config)", "model = AutoModel.from_config(config)", "model.load_weights(DIR)"
        ),
    ),
    Snippet(
        "`build_context(config)`, `Trainer(config).predict(predict_checkpoint=DIR)`",
        f"{_CONFIG}build_context(config)\n"
        "said = mindformers.Trainer(config).predict(predict_checkpoint=DIR, input_data=[PROMPT])",
    ),
    Snippet(
        "`Trainer(args=YAML).predict(predict_checkpoint=DIR)`",
        "said = mindformers.Trainer(args=YAML).predict(predict_checkpoint=DIR, input_data=[PROMPT])",
        quick=True,
    ),
    Snippet(
        '`Trainer(task="text_generation", model=model, tokenizer=tokenizer).predict()`',
        f'{_OBJECTS}trainer = mindformers.Trainer(task="text_generation", model=model, tokenizer=tokenizer)\n'
        "said = trainer.predict(input_data=PROMPT)",
        quick=True,
    ),
    Snippet(
        '`tokenizer(text, return_tensors="ms")`',
        f'{_OBJECTS}tokens = tokenizer(PROMPT, return_tensors="ms")["input_ids"]\n'
        "said = model.generate(tokens, do_sample=False)",
        quick=True,
    ),
    Snippet(
        "`model.chat(tokenizer, query)`",
        f"{_OBJECTS}said, history = model.chat(tokenizer, PROMPT, do_sample=False)",
        THOUGHT + ANSWER,
    ),
    Snippet(
        '`tokenizer.apply_chat_template(messages, return_tensors="ms")`',
        f'{_OBJECTS}tokens = tokenizer.apply_chat_template({_CHAT}, add_generation_prompt=True, return_tensors="ms")\n'
        "said = model.generate(tokens, do_sample=False)[0][tokens.shape[1]:]",
        THOUGHT + ANSWER,
    ),
    Snippet(
        "`generate(streamer=TextStreamer(tokenizer))`",
        f"""
from contextlib import redirect_stdout
from io import StringIO
{_OBJECTS}
streamer = mindformers.TextStreamer(tokenizer)
with redirect_stdout(StringIO()) as printed:
    model.generate(tokenizer(PROMPT)["input_ids"], do_sample=False, streamer=streamer)
said = printed.getvalue().strip()
""",
    ),
    Snippet(
        "`generate(streamer=TextIteratorStreamer(tokenizer))` in a thread",
        f"""
from threading import Thread
{_OBJECTS}
streamer = mindformers.TextIteratorStreamer(tokenizer)
settings = {{"input_ids": tokenizer(PROMPT)["input_ids"], "do_sample": False, "streamer": streamer}}
Thread(target=model.generate, kwargs=settings).start()
said = "".join(iter(streamer.__next__, None))
""",
    ),
    Snippet(
        "the calls of the lm-eval adapter, harness stubbed: `generate_until`",
        f"{_ADAPTER}said = model.generate({_ENCODED}.tolist(), max_length=80, use_cache=True, do_sample=False)",
    ),
    Snippet(
        "the calls of the lm-eval adapter, harness stubbed: `loglikelihood`",
        f"{_ADAPTER}model.set_dynamic_inputs()\nsaid = model(input_ids={_ENCODED})[0]",
        error="TypeError: InferenceQwen3ForCausalLM was called with one input",
    ),
    Snippet(
        "`AutoConfig.from_pretrained(DIR, return_unused_kwargs=True, other=1)`",
        _generating(
            "config, unused = AutoConfig.from_pretrained(DIR, return_unused_kwargs=True, other=1)",
            "assert unused == {'other': 1}, unused",
            "model = AutoModel.from_pretrained(DIR, config=config)",
        ),
    ),
    Snippet(
        "`AutoModel.from_pretrained(DIR, return_unused_kwargs=True)`",
        _generating("model, unused = AutoModel.from_pretrained(DIR, return_unused_kwargs=True)"),
        error="ValueError: return_unused_kwargs=True can't be done here: ",
    ),
    *(
        Snippet(
            f"`AutoModel.from_pretrained(DIR, {keyword})`",
            _generating(f"model = AutoModel.from_pretrained(DIR, {keyword})"),
        )
        for keyword in ('code_revision="main"', 'use_auth_token="hf_…"', 'ms_dtype="float32"')
    ),
)


def outcomes(snippets: Iterable[Snippet], cwd: Path, *, shim: bool) -> dict[str, dict[str, Any]]:
    """Run each snippet in a process of its own, and return what became of it, by its name.

    That is ``error`` and ``message``; or ``hangs``; or ``said``, the text. Stock has the CPU kernels, too.
    """
    names = [snippet.name for snippet in snippets]
    script = "import sys; from tests.support.snippets import main; give(main(sys.argv[1]))"
    job = json.dumps({"shim": shim, "names": names})
    result: dict[str, dict[str, Any]] = run_script(script, job, cwd=cwd, timeout=_SECONDS * len(names) + 120).result
    return result


def main(job: str) -> dict[str, Any]:
    """Run the snippets of a job, one after the other."""
    wanted = json.loads(job)
    import mf_qwen3_patch

    mf_qwen3_patch.enable_cpu_kernels()
    if not wanted["shim"]:
        mf_qwen3_patch.deactivate()
    import mindformers  # noqa: F401 - once, and not in every process

    chosen = [snippet for snippet in SNIPPETS if snippet.name in wanted["names"]]
    return {snippet.name: run_forked(snippet.name, functools.partial(_run, snippet), _SECONDS) for snippet in chosen}


def _run(snippet: Snippet) -> dict[str, Any]:
    import mindformers

    local = Path("predict_qwen3.yaml")
    path = "pretrained_model_dir: '/path/hf_dir'"
    text = YAML.read_text(encoding="utf-8")
    assert path in text, f"{YAML} has no {path}"
    local.write_text(text.replace(path, f"pretrained_model_dir: '{MICRO}'"), encoding="utf-8")
    names: dict[str, Any] = {"mindformers": mindformers, "DIR": str(MICRO), "YAML": str(local), "PROMPT": PROMPT}
    exec(textwrap.dedent(snippet.code), names)
    return {"said": _text(names["said"], names.get("tokenizer"))}


def _text(said: Any, tokenizer: Any) -> str:
    """Return the text of an answer, prompt included: of a pipeline's or a Trainer's, of tokens, or as it is."""
    if isinstance(said, str):
        return said
    if isinstance(said[0], dict):
        return str(said[0]["text_generation_text"][0])
    tokens = np.ravel(said[0] if isinstance(said, list) else said).tolist()
    return str(tokenizer.decode(tokens, skip_special_tokens=True))
