"""The page of ``elmcfg report`` in a real browser: it opens, sorts, filters, and fits a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import EXECUTABLE, Tab, browser
from studies import write_study

from elmcfg.render.study.page import page
from elmcfg.study.results import read_results
from elmcfg.study.verdict import judge

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="no chromium: apt install chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, statuses={("crown", 2): "failed", ("vanilla", 1): "missing"}, seeds=4)
    study = folder / "study.json"
    # A name that would end a script element or a tag, were it not quoted.
    for path in (study, folder / "journal.jsonl"):
        path.write_text(path.read_text().replace('"reverse"', '"</script><b>reverse"'))
    results = read_results(folder)
    path = folder / "report.html"
    path.write_text(page(results, judge(results.trials())))
    return path


@pytest.fixture(scope="module")
def tab(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


FIRST = "[...document.querySelectorAll('#variants tbody tr')].map(r => r.cells[0].textContent)"


def test_it_opens_without_errors_and_without_the_network(tab: Tab, report: Path) -> None:
    tab.size(1200, 900)
    tab.open(report)
    assert tab.errors == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []
    assert tab.run("document.querySelectorAll('.chart svg').length") == 9
    # Vega-Lite names what it draws for screen readers, and the text has the page's colour.
    assert tab.run("document.querySelectorAll('.chart svg [aria-label]').length") > 50
    assert tab.run("[...document.querySelectorAll('.chart')].every(c => c.ariaLabel)")
    assert tab.run("document.querySelectorAll('b').length") == 0


def test_it_sorts_by_keyboard_and_says_so(tab: Tab, report: Path) -> None:
    tab.size(1200, 900)
    tab.open(report)
    before = tab.run(FIRST)
    tab.run("document.querySelector('#variants thead button').focus()")
    tab.press("Tab")
    tab.press("Enter")
    assert tab.run("document.querySelectorAll('#variants th')[1].ariaSort") == "ascending"
    assert tab.run(FIRST) == before
    tab.press("Enter")
    assert tab.run("document.querySelectorAll('#variants th')[1].ariaSort") == "descending"
    assert tab.run(FIRST) == before[::-1]
    tab.run("document.querySelector('#variants thead button').click()")
    assert tab.run(FIRST) == sorted(before)
    assert tab.errors == []


def test_it_filters_and_counts(tab: Tab, report: Path) -> None:
    tab.open(report)
    tab.run(
        "{ const i = document.getElementById('filter-pairs'); i.value = 'crown lower';"
        " i.dispatchEvent(new Event('input')); }"
    )
    # Crown and vanilla share two seeds only, so that nothing is said of them.
    assert tab.run("document.getElementById('count-pairs').textContent") == "2 of 6 shown"
    assert tab.run("document.querySelectorAll('#pairs tbody tr:not([hidden])').length") == 2


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read(
    tab: Tab, report: Path, tmp_path: Path, dark: bool
) -> None:
    tab.size(360, 740, dark=dark)
    tab.open(report)
    assert tab.run("document.documentElement.scrollWidth") <= 360
    # WCAG 2.2, 1.4.3 and 1.4.11: text 4.5:1, what carries meaning in a chart 3:1.
    ratio = """(name => {
      const style = getComputedStyle(document.documentElement);
      const light = variable => {
        const hex = style.getPropertyValue(variable).trim();
        const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16) / 255)
          .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const [a, b] = [light(name), light("--paper")].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    })"""
    for name in ("--ink", "--soft", "--link"):
        assert tab.run(f"{ratio}('{name}')") >= 4.5
    for i in range(1, 7):
        assert tab.run(f"{ratio}('--series-{i}')") >= 3
    label = "getComputedStyle(document.querySelector('.chart svg text')).fill"
    assert tab.run(label) == ("rgb(230, 237, 243)" if dark else "rgb(27, 31, 36)")
    tab.picture(tmp_path / "phone.png")
    assert (tmp_path / "phone.png").stat().st_size > 20_000
