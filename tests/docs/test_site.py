"""The built site: what a reader finds by search, and how it looks in a browser."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.support import browser
from tests.support.processes import ROOT

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs (extra `docs`)"),
]
in_a_browser = pytest.mark.skipif(browser.DRIVER is None, reason="needs chromedriver and Chromium")

WORDS = {"离线": "install", "乱码": "QKV_FFN_MERGE", "截断": "troubleshooting", "不一致": "CONFIG_MISMATCH_SOLUTION"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def window() -> Iterator[browser.Browser]:
    with browser.browser() as window:
        yield window


@pytest.mark.parametrize(("word", "page"), WORDS.items())
def test_the_index_has_chinese_words(word: str, page: str, site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    separator = re.compile(index["config"]["separator"])
    texts = {entry["location"]: re.sub("<[^>]+>", " ", f"{entry['title']} {entry['text']}") for entry in index["docs"]}
    found = [location for location, text in texts.items() if word in separator.split(text)]

    assert any(page in location and location.startswith("zh/") for location in found), found


def test_every_function_of_the_api_that_has_an_example_shows_it_as_code(site: Path) -> None:
    text = (site / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    titles = text.count('<span class="doc-section-title">Examples:</span>')

    assert titles >= 5
    assert "&gt;&gt;&gt;" in text
    assert not re.search(r"<p>[^<]*&gt;&gt;&gt;", text)


@in_a_browser
@pytest.mark.parametrize(("word", "page"), WORDS.items())
def test_chinese_search(word: str, page: str, address: str, window: browser.Browser) -> None:
    window.open(f"{address}/zh/?q={word}")
    window.wait_for("document.querySelectorAll('.md-search-result__link').length")
    links = "[...document.querySelectorAll('.md-search-result__link')].map(link => link.pathname)"

    assert any(page in path for path in window.evaluate(links))


@in_a_browser
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize(
    "page", ["", "zh/", "zh/troubleshooting/", "performance/", "reference/settings/", "reference/json/"]
)
def test_nothing_sticks_out(page: str, width: int, address: str, window: browser.Browser) -> None:
    window.open(f"{address}/{page}", width=width)
    sideways = "e => e.scrollWidth > e.clientWidth + 1"

    assert not window.evaluate(f"[document.documentElement].some({sideways})")
    assert not window.evaluate(f"[...document.querySelectorAll('pre > code')].some({sideways})")


@in_a_browser
def test_a_name_in_a_table_stays_on_one_line(address: str, window: browser.Browser) -> None:
    window.open(f"{address}/reference/json/", width=390)
    broken = "[...document.querySelectorAll('td code')].filter(code => code.getClientRects().length > 1)"

    assert window.evaluate(f"{broken}.map(code => code.textContent).filter(text => /^\\w+$/.test(text))") == []


@in_a_browser
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_follow_the_scheme(dark: bool, address: str, window: browser.Browser) -> None:
    window.open(f"{address}/zh/problems/QKV_FFN_MERGE/")
    window.evaluate("localStorage.clear()")
    window.open(f"{address}/zh/problems/QKV_FFN_MERGE/", dark=dark)
    picture = "document.querySelector('img[src*=\"pictures/\"]')"
    window.wait_for(f"{picture}.complete && {picture}.naturalWidth")

    assert ("invert" in window.evaluate(f"getComputedStyle({picture}).filter")) is dark
    assert "zh" in window.evaluate(f"{picture}.src.split('/').pop()")


@in_a_browser
def test_a_device_that_turns_dark_later_is_followed(address: str, window: browser.Browser) -> None:
    schemes = []
    for dark in (False, True, False):
        window.open(f"{address}/zh/", dark=dark)
        schemes.append(window.evaluate("document.body.getAttribute('data-md-color-scheme')"))

    assert schemes == ["default", "slate", "default"]
