"""What ``status`` says of CANN, driver and NPUs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mf_qwen3_patch.cli._ascend import ascend_facts, parse_npus

ATLAS_800 = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc1                 Version: 24.1.rc1                                             |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B2               | OK            | 93.9        44                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3370 / 65536         |
+===========================+===============+====================================================+
| 1     910B2               | Warning       | 95.0        46                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          65000/ 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 12345         | python 0:1               | 3300                    |
+===========================+===============+====================================================+
"""
ATLAS_300I = """\
| 2     310P3                 | OK              | NA           52                0     / 0             |
| 0     0                     | 0000:01:00.0    | 0            1859 / 44216                            |
"""


def test_the_npus_of_the_table() -> None:
    assert list(parse_npus(ATLAS_800)) == [
        {"id": 0, "name": "910B2", "health": "OK", "memory_mb": 65536, "memory_used_mb": 3370},
        {"id": 1, "name": "910B2", "health": "Warning", "memory_mb": 65536, "memory_used_mb": 65000},
    ]
    assert list(parse_npus(ATLAS_300I)) == [
        {"id": 2, "name": "310P3", "health": "OK", "memory_mb": 44216, "memory_used_mb": 1859}
    ]


@pytest.mark.parametrize("text", ["", "dcmi module initialize failed. ret is -8005\n", "| 0 910B |\n| x |\n"])
def test_what_is_no_table_has_no_npus(text: str) -> None:
    assert list(parse_npus(text)) == []


def program(place: Path, body: str) -> None:
    place.mkdir()
    (place / "npu-smi").write_text(f"#!/bin/sh\n{body}\n")
    (place / "npu-smi").chmod(0o755)


def test_versions_and_npus_of_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", f"cat {tmp_path / 'table'}")
    (tmp_path / "table").write_text(ATLAS_800)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    toolkit = tmp_path / "ascend-toolkit" / "latest" / "aarch64-linux"
    toolkit.mkdir(parents=True)
    (toolkit / "ascend_toolkit_install.info").write_text("package_name=Ascend-cann-toolkit\nversion=8.2.RC1\n")
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "version.info").write_text("Version=25.0.rc1\nascendhal_version=7.35.19\n")
    facts = ascend_facts({}, tmp_path)

    assert (facts["cann"], facts["driver"]) == ("8.2.RC1", "25.0.rc1")
    assert [npu["name"] for npu in facts["npus"]] == ["910B2", "910B2"]


def test_the_cann_that_is_set_up_counts(tmp_path: Path) -> None:
    for name, version in (("own/compiler", "8.3"), ("cann/compiler", "8.2")):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "version.info").write_text(f"Version={version}\n")

    assert ascend_facts({"ASCEND_HOME_PATH": str(tmp_path / "own")}, tmp_path)["cann"] == "8.3"
    assert ascend_facts({}, tmp_path)["cann"] == "8.2"


@pytest.mark.parametrize("body", ["exit 1", "printf '\\377'; exit 0"])
def test_a_machine_without_ascend_is_no_error(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", body)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    nothing = {"cann": None, "driver": None, "npus": []}
    assert ascend_facts({}, tmp_path) == nothing

    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert ascend_facts({}, tmp_path) == nothing
