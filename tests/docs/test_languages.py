"""The Chinese documents are in step with the English ones: the same parts, the same code, the same generated tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.support.chinese_tables import in_chinese
from tests.support.documents import documents
from tests.support.processes import ROOT

PAIRS = [(ROOT / "README.md", ROOT / "README.zh-CN.md")] + [
    (path, path.with_name(f"{path.stem}.zh.md"))
    for path in documents()
    if path.is_relative_to(ROOT / "docs") and path.with_name(f"{path.stem}.zh.md").is_file()
]
# Made from the docstrings, which are English.
ENGLISH_ONLY = {"api.md"}
IN_STEP = [pair for pair in PAIRS if pair[0].name not in ENGLISH_ONLY]

CODE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`[^`\n]+`")


def name_of(pair: tuple[Path, Path]) -> str:
    return str(pair[0].relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def prose(text: str) -> str:
    return CODE.sub("", text)


def headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", prose(text), re.MULTILINE)


def table_shapes(text: str) -> list[int]:
    """Return the number of columns of every row of every table."""
    rows = [line for line in prose(text).split("\n") if line.startswith("|")]
    return [len(re.findall(r"(?<!\\)\|", INLINE.sub("", row))) for row in rows]


def test_every_page_that_must_be_bilingual_is() -> None:
    bilingual = {name_of(pair) for pair in PAIRS}

    must = {"README.md", "docs/index.md", "docs/quickstart.md", "docs/troubleshooting.md", "docs/reference/settings.md"}
    must |= {"docs/install.md", "docs/compatibility.md", "docs/reference/patches.md", "docs/reference/stability.md"}
    must |= {f"docs/problems/{path.name}" for path in (ROOT / "docs/problems").glob("*.md") if ".zh" not in path.name}
    assert len(must) == 13
    assert must <= bilingual


@pytest.mark.parametrize("pair", IN_STEP, ids=name_of)
def test_the_same_headings_code_and_tables(pair: tuple[Path, Path]) -> None:
    english, chinese = map(read, pair)

    assert headings(english) == headings(chinese)
    assert CODE.findall(english) == CODE.findall(chinese)
    assert table_shapes(english) == table_shapes(chinese)


@pytest.mark.parametrize("pair", IN_STEP, ids=name_of)
def test_the_same_generated_sections(pair: tuple[Path, Path]) -> None:
    section = re.compile(r"<!-- (\w+): made by [^\n]* -->\n(.*?)<!-- end of \1 -->", re.DOTALL)
    english, chinese = ([(match[1], match[2]) for match in section.finditer(read(path))] for path in pair)

    assert chinese == [(name, in_chinese(body)) for name, body in english]


@pytest.mark.parametrize("pair", IN_STEP, ids=name_of)
def test_the_chinese_page_is_chinese(pair: tuple[Path, Path]) -> None:
    text = re.sub(r"<!-- (\w+): made by .*?<!-- end of \1 -->", "", prose(read(pair[1])), flags=re.DOTALL)
    paragraphs = [line for line in text.split("\n") if line and not line.startswith("#")]

    assert sum(bool(re.search(r"[\u4e00-\u9fff]", line)) for line in paragraphs) > len(paragraphs) // 3


ERRORS = (
    "RuntimeError: InferenceQwen3ForCausalLM does not implemented convert_weight_dict method.",
    "embedding.word_embeddings.weight shape mismatch … net (151936, 4096) … parameter_dict (151936, 5120)",
    "For 'parameter_dict', the element should be 'str' and 'Parameter', but got <class 'str'> and <class 'numpy.ndarray'>",
)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/index.md", "docs/index.zh.md"])
def test_the_errors_that_people_search_for_come_first_word_for_word(name: str) -> None:
    text = read(ROOT / name)
    _, first, second, *_ = re.split(r"^## ", text, flags=re.MULTILINE)

    assert all(error in first for error in (*ERRORS, "linear_qkv.weight", "linear_fc1.weight"))
    assert not any(error in second for error in ERRORS)


# Kilobytes of 1,000 bytes, in UTF-8: what a visitor reads before leaving.
# What the field says instead: checkpoint or 权重, 逐比特, 自动跳过, 桩方法, 基座模型, KV cache.
UNUSUAL = ("检查点", "逐位", "让路", "空壳", "薄门", "基础模型", "键值缓存", "方言")


@pytest.mark.parametrize("pair", IN_STEP, ids=name_of)
def test_chinese_pages_use_the_words_of_the_field(pair: tuple[Path, Path]) -> None:
    assert [word for word in UNUSUAL if word in read(pair[1])] == []


SHORT = 9_000


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_is_short_and_has_no_table_that_a_script_makes(name: str) -> None:
    assert (ROOT / name).stat().st_size <= SHORT
    made = re.findall(r"<!-- (.+): made by .*? -->(.*?)<!-- end of \1 -->", read(ROOT / name), re.DOTALL)
    assert [section for section, _ in made] == re.findall("<!-- (.+): made by", read(ROOT / name)) == ["speed in short"]
    assert "|" not in made[0][1]


@pytest.mark.parametrize(
    ("section", "page"),
    [("faults", "docs/reliability"), ("speed", "docs/performance"), ("matrix", "docs/compatibility")],
)
def test_each_table_of_measurements_has_its_page_which_the_readme_links(section: str, page: str) -> None:
    for suffix, readme in (".md", "README.md"), (".zh.md", "README.zh-CN.md"):
        holding = [path for path in documents() if f"<!-- {section}: made by" in read(path) and suffix in path.name]
        assert ROOT / f"{page}{suffix}" in holding
        assert f"({page}{suffix}" in read(ROOT / readme)


def local_links(path: Path) -> list[str]:
    links = re.findall(r"\]\(([^)\s]+)\)", prose(read(path)))
    return [link for link in links if "://" not in link]


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


@pytest.mark.parametrize(
    "path",
    [*documents(), *(ROOT / f"{name}.md" for name in ("CONTRIBUTING", "SECURITY", "RELEASE", "CODE_OF_CONDUCT"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in local_links(path):
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in {slug(text) for text in re.findall(r"^#+ (.+)$", prose(read(target)), re.MULTILINE)}, link
