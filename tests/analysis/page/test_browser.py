"""The page in a real browser: headless Chromium, with axe-core for what can be checked of accessibility."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.page.build import build
from tests.analysis.support import rich_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *(("--no-sandbox",) if os.geteuid() == 0 else ()),
)
WIDTHS, THEMES = (1280, 390), ("light", "dark")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium with a new, empty profile that goes away."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is not tried in a browser: no playwright")
    if CHROMIUM is None:
        pytest.skip("the page is not tried in a browser: no chromium (apt-get install chromium)")
    with playwright.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def rich(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a study with every kind of section, a failure and a refusal."""
    root = tmp_path_factory.mktemp("rich") / "study"
    small = type(finished)(Path(shutil.copytree(finished.root, root)))
    rich_study.enrich(small)
    small.edit_result("resnet18-Random-f0-r0.01", selected_on="test f1_macro")
    small.fail("vit_b_32-PCam-f0-r0.02", "ValueError", "too hot")
    build(small.study)
    return root / "report" / "index.html"


class Visit:
    """A page opened, with all it said and asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, theme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.path = path

    def check_quiet(self) -> None:
        """Nothing was logged, and nothing asked for but the file itself and what it holds."""
        assert self.said == []
        assert [url for url in self.asked if not url.startswith("data:")] == [self.path.as_uri()]

    def open_all(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        self.page.wait_for_timeout(50)

    def widths(self) -> tuple[int, int]:
        """Width of the page and of the window."""
        found = self.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        return found[0], found[1]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_page_is_quiet_fits_and_is_accessible(browser: Any, rich: Path, width: int, theme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    visit = Visit(browser, rich, width, theme)
    page, window = visit.widths()
    assert page <= window
    visit.open_all()
    page, window = visit.widths()
    assert page <= window
    found = Axe().run(visit.page).response
    assert [(one["id"], one["nodes"][0]["html"]) for one in found["violations"] if one["impact"] in SERIOUS] == []
    assert len(found["passes"]) > 20
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 27)"}[theme]
    visit.check_quiet()
    visit.page.close()


def test_tables_sort_by_keyboard_and_by_click(browser: Any, rich: Path) -> None:
    visit = Visit(browser, rich)
    table = visit.page.locator("#answer table").first
    head = table.locator("thead th", has_text=re.compile("^F1$"))
    place = head.evaluate("(one) => one.cellIndex")

    def values() -> list[float]:
        cells = table.locator(f"tbody tr > :nth-child({place + 1})").all_text_contents()
        return [float(cell.split("±")[0]) for cell in cells]

    before = values()
    head.locator("button").focus()
    visit.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert values() == sorted(before) != before
    visit.page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert values() == sorted(before, reverse=True)
    scenario = table.locator("thead th").nth(1)
    scenario.locator("button").click()
    assert scenario.get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") is None
    visit.check_quiet()
    visit.page.close()


def test_figures_enlarge_and_escape_closes(browser: Any, rich: Path) -> None:
    visit = Visit(browser, rich)
    for figure in ("#figure-classes-f1", "#explanations figure >> nth=0"):
        button = visit.page.locator(figure).get_by_role("button")
        assert button.get_attribute("aria-label").startswith("Enlarge: ")
        button.focus()
        visit.page.keyboard.press("Enter")
        dialog = visit.page.get_by_role("dialog")
        assert dialog.is_visible()
        small = visit.page.locator(figure).locator("svg, img").bounding_box()
        large = dialog.locator("figure svg, figure img").bounding_box()
        assert large["width"] > 1.2 * small["width"]
        assert dialog.get_attribute("aria-label")
        visit.page.keyboard.press("Escape")
        assert not dialog.is_visible()
        assert button.evaluate("(one) => one === document.activeElement")
    visit.check_quiet()
    visit.page.close()


def test_the_first_stop_skips_to_the_report(browser: Any, rich: Path) -> None:
    visit = Visit(browser, rich)
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.className") == "skip"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"
    visit.page.close()


def test_paper_is_white_and_shows_every_figure(browser: Any, rich: Path) -> None:
    visit = Visit(browser, rich, theme="dark")
    visit.page.emulate_media(media="print")
    visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert visit.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert visit.page.evaluate("getComputedStyle(document.querySelector('svg .f-ink')).fill") == "rgb(29, 35, 39)"
    assert not visit.page.locator("nav").is_visible()
    figures = visit.page.locator("main figure")
    assert figures.count() > 20
    assert all(figures.nth(place).is_visible() for place in range(figures.count()))
    visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not all(figures.nth(place).is_visible() for place in range(figures.count()))
    visit.page.close()


def test_hostile_names_do_nothing(browser: Any, hostile: Any) -> None:
    rich_study.enrich(hostile)
    build(hostile.study)
    visit = Visit(browser, hostile.root / "report" / "index.html", 390)
    visit.open_all()
    page, window = visit.widths()
    assert page <= window
    visit.page.locator("main figure").first.get_by_role("button").click()
    visit.page.keyboard.press("Escape")
    assert visit.page.locator("main img[src='x'], main script").count() == 0
    assert visit.page.locator("h1").inner_text() == hostile.study.header["name"]
    visit.check_quiet()
    visit.page.close()


def test_a_study_without_a_result_has_a_page(browser: Any, small: Any) -> None:
    (small.root / "stages").rename(small.root / "gone")
    build(small.study)
    visit = Visit(browser, small.root / "report" / "index.html")
    assert "0 of 24 cells" in visit.page.locator("header").inner_text()
    assert "No learning curve can be drawn yet" in visit.page.locator("#curves").inner_text()
    visit.check_quiet()
    visit.page.close()
