"""``AutoTokenizer.from_pretrained`` on a HuggingFace Qwen3 directory; transformers' own AutoTokenizer is the judge."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
import transformers
from mindformers.tools.register import MindFormerModuleType, MindFormerRegister
from tests.support.checkpoints import read_json, write_json
from tests.support.hub import put_into_huggingface_cache
from tests.support.processes import ROOT, run_script

import mf_qwen3_patch
from mf_qwen3_patch import (
    CheckpointError,
    CheckpointWarning,
    CorruptCheckpoint,
    IncompleteCheckpoint,
    UnsupportedCheckpoint,
)
from mindformers import AutoModel, AutoTokenizer

MICRO = ROOT / "src" / "mf_qwen3_patch" / "micro_qwen3"
CONFIG = "tokenizer_config.json"
SENTENCE = "你好！我是通义千问，由阿里云开发的AI助手。"
CONVERSATIONS = [
    [{"role": "user", "content": "你好"}],
    [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>\nA greeting.\n</think>\n\nHello!"},
        {"role": "user", "content": "  Who are\nyou?"},
    ],
]
TEXTS = ["", "你好", "Hello, 世界! \n\n  12345", "<|im_start|>user\n你好<|im_end|>", "<think>\n\n</think>", "🙂 naïve"]

# What Qwen3's published template does with enable_thinking, and with a system message that nothing else here adds.
TEMPLATE = """\
{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""


def edit(directory: Path, *drop: str, **changes: Any) -> None:
    """Change tokenizer_config.json."""
    config = read_json(directory / CONFIG)
    write_json(directory / CONFIG, {name: value for name, value in config.items() if name not in drop} | changes)


def template_in_config(directory: Path) -> None:
    edit(directory, chat_template=TEMPLATE)


def template_in_a_file(directory: Path) -> None:
    edit(directory, "chat_template")
    (directory / "chat_template.jinja").write_text(TEMPLATE)


def without_weights(directory: Path) -> None:
    (directory / "model.safetensors").unlink()


def without_model(directory: Path) -> None:
    without_weights(directory)
    (directory / "config.json").unlink()


def vocabulary_and_merges(directory: Path) -> None:
    (directory / "tokenizer.json").unlink()


def tokenizer_json_alone(directory: Path) -> None:
    for name in ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"):
        (directory / name).unlink()


def as_transformers_5_writes(directory: Path) -> None:
    """As its release 5.24.0 saves this very tokenizer."""
    tokenizer_json_alone(directory)
    config = read_json(directory / CONFIG)
    (directory / "chat_template.jinja").write_text(config["chat_template"])
    extra = config["additional_special_tokens"]
    edit(
        directory,
        *("added_tokens_decoder", "additional_special_tokens", "chat_template"),
        add_prefix_space=None,
        backend="tokenizers",
        extra_special_tokens=extra,
        is_local=True,
        local_files_only=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return shutil.copytree(MICRO, tmp_path / "Qwen3")


def everything_said(tokenizer: Any) -> dict[str, Any]:
    """Return all that a conversation's way to the model and back depends on."""
    chats = {}
    for number, messages in enumerate(CONVERSATIONS):
        for options in ({}, {"enable_thinking": True}, {"enable_thinking": False}):
            for prompt in (True, False):
                text, ids = (
                    tokenizer.apply_chat_template(
                        messages, tokenize=tokenize, add_generation_prompt=prompt, return_dict=False, **options
                    )
                    for tokenize in (False, True)
                )
                chats[f"{number} {options} {prompt}"] = (text, ids)
    encoded = [tokenizer(text).input_ids for text in TEXTS]
    return {
        "class": type(tokenizer),
        "vocabulary": tokenizer.get_vocab(),
        "chats": chats,
        "encoded": encoded,
        "decoded": [tokenizer.decode(ids) for ids in encoded],
        "decoded without special tokens": [tokenizer.decode(ids, skip_special_tokens=True) for ids in encoded],
        "special tokens": tokenizer.special_tokens_map,
        "longest": tokenizer.model_max_length,
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda directory: None,
        template_in_config,
        template_in_a_file,
        without_weights,
        without_model,
        vocabulary_and_merges,
        tokenizer_json_alone,
    ],
    ids=lambda change: "as it is" if change.__name__ == "<lambda>" else change.__name__,
)
def test_it_is_huggingfaces_tokenizer(change: Callable[[Path], None], directory: Path) -> None:
    change(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)

    assert everything_said(tokenizer) == everything_said(transformers.AutoTokenizer.from_pretrained(directory))


@pytest.mark.parametrize("change", [template_in_config, template_in_a_file])
def test_thinking_is_switched_as_the_template_says(change: Callable[[Path], None], directory: Path) -> None:
    change(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)

    def text(**options: bool) -> str:
        return tokenizer.apply_chat_template(CONVERSATIONS[0], tokenize=False, add_generation_prompt=True, **options)

    asked = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\n"
    assert text() == text(enable_thinking=True) == asked
    assert text(enable_thinking=False) == asked + "<think>\n\n</think>\n\n"
    for thinking in (True, False):
        ids = tokenizer.apply_chat_template(
            CONVERSATIONS[0],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=False,
            enable_thinking=thinking,
        )
        assert ids == tokenizer(text(enable_thinking=thinking)).input_ids
        assert (tokenizer.convert_tokens_to_ids("</think>") in ids) is not thinking


def test_one_that_transformers_5_wrote_is_the_same(directory: Path) -> None:
    before = everything_said(transformers.AutoTokenizer.from_pretrained(directory))
    as_transformers_5_writes(directory)

    assert everything_said(AutoTokenizer.from_pretrained(directory)) == before


def test_the_model_speaks_through_it() -> None:
    model, tokenizer = AutoModel.from_pretrained(MICRO), AutoTokenizer.from_pretrained(MICRO)
    (tokens,) = model.generate([tokenizer("你好").input_ids], max_new_tokens=64, do_sample=False)

    assert tokenizer.decode(tokens, skip_special_tokens=True) == SENTENCE


@pytest.mark.parametrize(
    "call",
    [
        AutoTokenizer.from_pretrained,
        lambda path: AutoTokenizer.from_pretrained(str(path)),
        lambda path: AutoTokenizer.from_pretrained(yaml_name_or_path=path),
        lambda path: AutoTokenizer.from_pretrained(pretrained_model_name_or_path=str(path)),
        lambda path: AutoTokenizer.from_pretrained(path, trust_remote_code=True, auto_convert=True),
    ],
    ids=["PathLike", "str", "by MindFormers' keyword", "by transformers' keyword", "as scripts write it"],
)
def test_every_way_to_name_the_directory(call: Callable[[Path], Any]) -> None:
    assert type(call(MICRO)) is transformers.Qwen2TokenizerFast


def test_keywords_are_transformers_own() -> None:
    assert type(AutoTokenizer.from_pretrained(MICRO, use_fast=False)) is type(
        transformers.AutoTokenizer.from_pretrained(MICRO, use_fast=False)
    )
    assert AutoTokenizer.from_pretrained(MICRO, padding_side="left", pad_token="<|im_end|>").pad_token == "<|im_end|>"


def test_nothing_is_looked_up_in_a_hub_nor_written(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was opened: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    AutoTokenizer.from_pretrained(directory, local_files_only=False)

    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_hubs_id_and_a_subfolder(directory: Path, tmp_path: Path) -> None:
    put_into_huggingface_cache(tmp_path / "hub", "Qwen/Qwen3-0.6B", directory, subfolder="text")
    (tmp_path / "model").mkdir()
    directory.rename(tmp_path / "model" / "text")
    where = {"subfolder": "text", "cache_dir": tmp_path / "hub", "local_files_only": True}
    expected = everything_said(transformers.AutoTokenizer.from_pretrained(MICRO))

    assert everything_said(AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B", **where)) == expected
    assert everything_said(AutoTokenizer.from_pretrained(tmp_path / "model", subfolder="text")) == expected


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IncompleteCheckpoint, match=r"the checkpoint directory .*/no/Qwen3-14B is not there"):
        AutoTokenizer.from_pretrained(tmp_path / "no" / "Qwen3-14B")


def test_code_in_the_directory_is_not_run(directory: Path) -> None:
    edit(directory, auto_map={"AutoTokenizer": ["theirs.Tokenizer", None]})
    (directory / "theirs.py").write_text("raise SystemExit('run')\n")
    with pytest.warns(CheckpointWarning, match="auto_map") as caught:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=True)

    assert type(tokenizer) is transformers.Qwen2TokenizerFast
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        ([CONFIG], f"{CONFIG} missing"),
        (
            ["tokenizer.json", "merges.txt"],
            "merges.txt missing (tokenizer.json would do for vocab.json and merges.txt)",
        ),
        (
            ["tokenizer.json", "vocab.json"],
            "vocab.json missing (tokenizer.json would do for vocab.json and merges.txt)",
        ),
        (
            [CONFIG, "tokenizer.json", "vocab.json", "merges.txt"],
            f"{CONFIG}, vocab.json, merges.txt missing (tokenizer.json would do",
        ),
    ],
)
def test_files_that_are_not_there_are_named_in_one_error(absent: list[str], said: str, directory: Path) -> None:
    for name in absent:
        (directory / name).unlink()
    with pytest.raises(IncompleteCheckpoint) as error:
        AutoTokenizer.from_pretrained(directory)

    assert len(error.value.problems) == 1
    assert said in str(error.value)
    assert str(directory) in str(error.value)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _pointer(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 11422654\n")


def _link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("../../blobs/0123")


@pytest.mark.parametrize("name", [CONFIG, "tokenizer.json"])
@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (_truncate, CorruptCheckpoint),
        (_empty, CorruptCheckpoint),
        (_pointer, CorruptCheckpoint),
        (_link_to_nowhere, IncompleteCheckpoint),
    ],
)
def test_a_damaged_file_is_named(
    spoil: Callable[[Path], None], kind: type[CheckpointError], name: str, directory: Path
) -> None:
    spoil(directory / name)
    with pytest.raises(kind) as error:
        AutoTokenizer.from_pretrained(directory)

    assert [problem.file for problem in error.value.problems] == [name]


def test_an_error_of_transformers_with_sound_files_is_its_own(directory: Path) -> None:
    tokenizer_json_alone(directory)  # which the slow tokenizer cannot read
    with pytest.raises(Exception) as expected:  # noqa: PT011 - whatever transformers raises
        transformers.AutoTokenizer.from_pretrained(directory, use_fast=False)
    with pytest.raises(type(expected.value)) as error:
        AutoTokenizer.from_pretrained(directory, use_fast=False)

    assert str(error.value) == str(expected.value)


def test_a_class_that_transformers_lacks(directory: Path) -> None:
    edit(directory, tokenizer_class="TokenizerOfTomorrow")
    with pytest.raises(UnsupportedCheckpoint) as error:
        AutoTokenizer.from_pretrained(directory)

    for fact in ("TokenizerOfTomorrow", f"transformers {transformers.__version__}", "Qwen2Tokenizer", CONFIG):
        assert fact in str(error.value)


def test_without_transformers(tmp_path: Path) -> None:
    script = """
        import sys
        import mf_qwen3_patch
        from mindformers import AutoTokenizer
        sys.modules["transformers"] = None
        try:
            AutoTokenizer.from_pretrained(sys.argv[1])
        except ImportError as error:
            give(str(error))
    """
    assert "needs HuggingFace transformers" in run_script(script, MICRO, cwd=tmp_path).result


def test_auto_convert_false_means_stock(directory: Path) -> None:
    with pytest.raises(RuntimeError, match="experimental mode") as error:
        AutoTokenizer.from_pretrained(str(directory), auto_convert=False)

    assert "Qwen2Tokenizer does not exist" in str(error.value.__cause__)


def test_a_training_run_is_left_to_stock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUN_MODE", "finetune")
    with pytest.raises(RuntimeError, match="experimental mode"):
        AutoTokenizer.from_pretrained(str(directory))


def test_another_model_is_left_to_stock_whatever_its_tokenizer(directory: Path) -> None:
    write_json(directory / "config.json", {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]})
    with pytest.raises(RuntimeError, match="experimental mode"):
        AutoTokenizer.from_pretrained(str(directory))


def test_a_yaml_that_names_no_tokenizer_is_no_hindrance(directory: Path) -> None:
    (directory / "predict_qwen3.yaml").write_text("use_legacy: False\nmodel: {model_config: {seq_length: 256}}\n")

    assert type(AutoTokenizer.from_pretrained(directory)) is transformers.Qwen2TokenizerFast


def test_a_yaml_that_names_a_tokenizer_of_mindformers_is_followed_as_in_stock(directory: Path) -> None:
    class OwnTokenizer:
        @classmethod
        def from_pretrained(cls, path: str, **kwargs: Any) -> tuple[str, dict[str, Any]]:
            return path, kwargs

    MindFormerRegister.register_cls(OwnTokenizer, MindFormerModuleType.TOKENIZER)
    (directory / "own.yaml").write_text("processor: {tokenizer: {type: OwnTokenizer}}\n")

    assert AutoTokenizer.from_pretrained(str(directory), bos_token="<s>") == (str(directory), {"bos_token": "<s>"})


def test_mindspores_tensors(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    texts = ["你好", "Hello, 世界!"]
    expected = tokenizer(texts, padding=True)

    tensors = tokenizer(texts, padding=True, return_tensors="ms")
    assert {name: tensor.asnumpy().tolist() for name, tensor in tensors.items()} == dict(expected)
    assert {tensor.dtype for tensor in tensors.values()} == {mindspore.int32}
    assert tokenizer.encode("你好", return_tensors="ms").shape == (1, len(tokenizer.encode("你好")))
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(texts, return_tensors="ms")
    assert type(tokenizer(texts, padding=True, return_tensors="np")["input_ids"]) is np.ndarray


def test_without_the_shim_they_are_gone_and_with_it_back(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory)
    mf_qwen3_patch.deactivate()
    try:
        with pytest.raises(ValueError, match="ms is not a valid TensorType"):
            tokenizer("你好", return_tensors="ms")
    finally:
        mf_qwen3_patch.activate()
    assert tokenizer("你好", return_tensors="ms")["input_ids"].shape == (1, 1)


def test_transformers_is_imported_for_a_tokenizer_only(tmp_path: Path) -> None:
    script = """
    import sys
    import mf_qwen3_patch, mindformers
    before = "transformers.tokenization_utils_base" in sys.modules
    mindformers.AutoTokenizer.from_pretrained(sys.argv[1])("你好", return_tensors="ms")
    give([before, [status.state for status in mf_qwen3_patch.status() if status.name == "auto_tokenizer"]])
    """
    assert run_script(script, MICRO, cwd=tmp_path).result == [False, ["applied"]]
