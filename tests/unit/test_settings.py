from __future__ import annotations

import pytest

from mf_qwen3_patch.errors import PatchWarning
from mf_qwen3_patch.settings import (
    Settings,
    dequantizes,
    page_cache_policy,
    reads_in_flight,
    thread_count,
    wait_limit,
)


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


@pytest.mark.parametrize(("value", "count"), [("1", 1), (" 7 ", 7), ("64", 64), ("999999", 64), ("9" * 5000, 64)])
def test_threads_are_at_most_64(value: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_THREADS", value)

    assert thread_count() == count
    assert thread_count(999_999) == 64


@pytest.mark.parametrize(("value", "reads"), [("", 5), ("1", 1), ("8", 1), ("64", 8), ("1024", 128), ("9" * 5000, 128)])
def test_reads_in_flight(value: str, reads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_IN_FLIGHT", value)

    assert reads_in_flight(8 << 20, default=5) == reads


@pytest.mark.parametrize("value", ["0", "000", "-8", "64MiB", "1.5", "²"])
def test_what_is_no_size_in_flight(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_IN_FLIGHT", value)

    with pytest.raises(ValueError, match=r"MF_QWEN3_PATCH_IN_FLIGHT='.*' is not a positive number of MiB"):
        reads_in_flight(8 << 20, default=5)


@pytest.mark.parametrize(("value", "policy"), [("", "auto"), ("auto", "auto"), ("Keep", "keep"), ("bypass", "bypass")])
def test_the_page_cache_policy(value: str, policy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_PAGE_CACHE", value)

    assert page_cache_policy() == policy


def test_an_unknown_page_cache_policy_counts_as_none_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MF_QWEN3_PATCH_PAGE_CACHE", "flood")

    with pytest.warns(PatchWarning, match=r"MF_QWEN3_PATCH_PAGE_CACHE='flood' is not one of"):
        assert page_cache_policy() == "auto"
