from __future__ import annotations

import pytest

from mf_qwen3_patch.errors import PatchWarning
from mf_qwen3_patch.settings import Settings, dequantizes, wait_limit


def read(**environ: str) -> Settings:
    return Settings.from_environment(environ)


def test_an_empty_environment_means_on() -> None:
    assert read() == Settings(enabled=True, strict=False, disabled=frozenset(), cpu_kernels=False)


@pytest.mark.parametrize(
    ("value", "enabled", "strict"), [("0", False, False), ("1", True, False), ("strict", True, True)]
)
def test_the_modes(value: str, enabled: bool, strict: bool) -> None:
    settings = read(MF_QWEN3_PATCH=value)

    assert (settings.enabled, settings.strict) == (enabled, strict)


def test_patches_are_left_out_by_name() -> None:
    assert read(MF_QWEN3_PATCH_DISABLE=" load_checkpoint, ").disabled == {"load_checkpoint"}


def test_an_unknown_mode_counts_as_none_and_the_warning_lists_the_valid_ones() -> None:
    with pytest.warns(PatchWarning, match=r"MF_QWEN3_PATCH='yes' is not one of '1', '0', 'strict': ignored"):
        assert read(MF_QWEN3_PATCH="yes") == Settings()


def test_an_unknown_flag_counts_as_none_and_warns() -> None:
    with pytest.warns(PatchWarning, match=r"MF_QWEN3_PATCH_CPU='maybe' is not one of '0', '1': ignored"):
        assert read(MF_QWEN3_PATCH_CPU="maybe") == Settings()


def test_an_unknown_patch_is_known_to_be_one_by_the_registry_only() -> None:
    assert read(MF_QWEN3_PATCH_DISABLE="load_chekpoint").disabled == {"load_chekpoint"}


@pytest.mark.parametrize(("value", "answer"), [("", True), ("1", True), ("0", False)])
def test_quantized_weights_are_dequantized_unless_the_environment_says_no(
    value: str, answer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_DEQUANTIZE", value)

    assert dequantizes() is answer
    assert dequantizes(True) is True
    assert dequantizes(False) is False


def test_an_unknown_answer_counts_as_none_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_DEQUANTIZE", "no")

    with pytest.warns(PatchWarning, match=r"MF_QWEN3_PATCH_DEQUANTIZE='no' is not one of '0', '1': ignored"):
        assert dequantizes()


def test_how_long_a_rank_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MF_QWEN3_PATCH_WAIT", raising=False)
    assert wait_limit() == 600
    monkeypatch.setenv("MF_QWEN3_PATCH_WAIT", " 3 ")
    assert wait_limit() == 3


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1.5"])
def test_what_is_no_time_to_wait(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_WAIT", value)
    with pytest.raises(ValueError, match="is not a positive number of seconds"):
        wait_limit()
