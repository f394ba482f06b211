"""The page in a real Chromium: what a person sees and does."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from benchmarks.speed.query import made
from echo_stream.connectors.storage.snapshot_files import read_snapshot, write_snapshot
from echo_stream.connectors.storage.snapshots import list_snapshots
from tests.support.commands import answer
from tests.support.encoders import WORDS
from tests.support.http.browsers import LIMIT_S, chromium
from tests.support.http.rig import ask, make_state, served_state

TOKEN = "correct-horse-battery"
SMOOTH = 6.0  # times what drawing as many discs takes; 2.1 to 2.4 were seen


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    """Lend one browser to all of these."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a state of small images with labels, and three snapshots."""
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (250, 8, 8), dtype=np.uint8)
    np.savez(folder / "data.npz", x=x, y=np.arange(250) % 3)
    words = ["--warmup", 100, "--snapshot-every", 50, "--preset", "paper", "--budget", 20]
    answer("run", folder / "data.npz", "--state", folder / "state", *words, "--epochs", 0)
    return folder / "state"


def opened(browser: Chrome, url: str, unit: Path) -> WebElement:
    """Open the page, and wait until it shows a snapshot."""
    browser.get("about:blank")
    complaints(browser)  # those of a page whose server has gone
    browser.get(url)
    wait_for(browser, unit)
    return browser.find_element(By.ID, "overlay")


def shown(browser: Chrome) -> str | None:
    """Return the id of the snapshot that is drawn."""
    return browser.find_element(By.ID, "overlay").get_attribute("data-snapshot")


def wait(browser: Chrome, is_so: Callable[[], object]) -> None:
    """Wait until something is so."""
    WebDriverWait(browser, LIMIT_S, 0.05).until(lambda _: is_so())


def wait_for(browser: Chrome, unit: Path) -> None:
    """Wait until the page shows a snapshot."""
    wait(browser, lambda: shown(browser) == unit.name)


def text(browser: Chrome, name: str) -> str:
    """Return the text of an element."""
    return browser.find_element(By.ID, name).text


def move_to(browser: Chrome, canvas: WebElement, place: list[float]) -> ActionChains:
    """Return what moves the pointer to a place of the canvas."""
    x, y = place[0] - canvas.size["width"] / 2, place[1] - canvas.size["height"] / 2
    return ActionChains(browser).move_to_element_with_offset(canvas, round(x), round(y))


def where(browser: Chrome, what: str, name: str) -> Any:
    """Return where a sample or a cell is drawn."""
    return browser.execute_script(f"return echoStream.whereIs{what}(arguments[0])", name)


def image_size(browser: Chrome) -> Any:
    """Return width and height of the thumbnail's image; None where there is none."""
    script = """const image = document.querySelector("#tip img");
        return image && [image.naturalWidth, image.naturalHeight]"""
    return browser.execute_script(script)


def complaints(browser: Chrome) -> list[Any]:
    """Return what the browser's console has said, a blocked request among others."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call]


def test_it_shows_the_newest_snapshot(browser: Chrome, images: Path) -> None:
    """Numbers, labels of stream, coreset and reservoir, and nothing on the console."""
    unit = list_snapshots(images)[-1]
    snapshot = read_snapshot(unit)
    with served_state(images) as url:
        opened(browser, url, unit)
        assert text(browser, "n") == "250"
        assert text(browser, "size") == str(snapshot.manifest["num_distinct"])
        assert text(browser, "cells") == str(len(snapshot.cells.cells))
        wait(browser, lambda: "no run: end of stream" in text(browser, "phase"))
        wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".bars")) == 3)
        bars = browser.find_element(By.CSS_SELECTOR, ".bars").get_attribute("aria-label") or ""
        labels = snapshot.rows.samples.labels
        assert labels is not None
        share = labels.tolist().count(0) / len(labels)
        reservoir = snapshot.manifest["labels_reservoir"]
        assert bars.split(", ") == [
            "stream 33.6 %",  # 84 of 250
            f"coreset {share:.1%}".replace("%", " %"),
            f"reservoir {reservoir['0'] / sum(reservoir.values()):.1%}".replace("%", " %"),
        ]
        assert complaints(browser) == []


def test_hovering_shows_the_image(browser: Chrome, images: Path) -> None:
    """The thumbnail of the sample under the pointer, and what is known of it."""
    unit = list_snapshots(images)[-1]
    row = read_snapshot(unit).rows
    sample_id = row.samples.ids[0]
    with served_state(images) as url:
        canvas = opened(browser, url, unit)
        move_to(browser, canvas, where(browser, "Sample", sample_id)).perform()
        tip = browser.find_element(By.ID, "tip")
        wait(browser, lambda: tip.get_attribute("data-sample"))
        hovered = str(tip.get_attribute("data-sample"))  # it may lie below another one
        assert tip.text.startswith(f"{hovered}: ")
        wait(browser, lambda: image_size(browser) == [8, 8])
        move_to(browser, canvas, [1, 1]).perform()
        wait(browser, lambda: not tip.is_displayed())
        assert complaints(browser) == []


def test_vectors_are_drawn_as_lines_or_as_images_of_a_shape(
    browser: Chrome, tmp_path: Path
) -> None:
    """What has one axis is no image, unless somebody says which."""
    x = np.random.default_rng(5).integers(0, 256, (150, 12), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x=x)
    words = ["--warmup", 100, "--preset", "paper", "--budget", 20, "--epochs", 0]
    answer("run", tmp_path / "data.npz", "--state", tmp_path / "state", *words)
    unit = list_snapshots(tmp_path / "state")[-1]
    sample_id = read_snapshot(unit).rows.samples.ids[0]
    with served_state(tmp_path / "state") as url:
        canvas = opened(browser, url, unit)
        move_to(browser, canvas, where(browser, "Sample", sample_id)).perform()
        wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#tip canvas.vector"))
        line, words_below = browser.find_elements(By.CSS_SELECTOR, "#tip > *")
        assert line.rect["y"] + line.rect["height"] <= words_below.rect["y"]
        browser.find_element(By.ID, "shape").send_keys("3,4", Keys.TAB)
        move_to(browser, canvas, [1, 1]).perform()
        move_to(browser, canvas, where(browser, "Sample", sample_id)).perform()
        wait(browser, lambda: image_size(browser) == [4, 3])
        browser.execute_script("localStorage.clear()")


def test_labels_and_ids_are_only_ever_text(browser: Chrome, tmp_path: Path) -> None:
    """Markup does nothing, members of objects are plain names, what is left out is said."""
    names = ["<img src=x onerror='window.pwned=1'>", "constructor", "__proto__", "", "../a b"]
    labels = [*names, *(f"label {number}" for number in range(15))]
    y = np.array([labels[row % 5 if row < 200 else row % 20] for row in range(300)])
    ids = np.array([f"<b>{row}</b>/../é?x=1&y#z" for row in range(300)])
    x = np.random.default_rng(5).normal(size=(300, 3))
    np.savez(tmp_path / "data.npz", x=x, y=y, id=ids)
    words = ["--warmup", 100, "--preset", "paper", "--budget", 20, "--epochs", 0]
    answer("run", tmp_path / "data.npz", "--state", tmp_path / "state", *words)
    unit = list_snapshots(tmp_path / "state")[-1]
    rows = read_snapshot(unit).rows
    key = ",".join(map(str, rows.cells[0]))
    with served_state(tmp_path / "state") as url:
        canvas = opened(browser, url, unit)
        shown_names = [
            each.text for each in browser.find_elements(By.CSS_SELECTOR, "#labels .name")
        ]
        assert {*names[:3], "(empty)", "../a b"} <= set(shown_names)
        assert "The 12 largest of 20 labels." in text(browser, "labels-note")
        assert "NaN" not in text(browser, "labels")
        move_to(browser, canvas, where(browser, "Cell", key)).click().perform()
        browser.find_element(By.CSS_SELECTOR, "#members button").click()
        wait(browser, lambda: "chosen as" in text(browser, "detail"))
        assert "<b>" in text(browser, "detail")
        assert browser.execute_script("return window.pwned") is None
        assert complaints(browser) == []


def test_texts_are_shown_as_text(browser: Chrome, tmp_path: Path) -> None:
    """The payload in place of its vector, cut if it is long; markup does nothing."""
    texts = [
        f"<img src=x onerror='window.pwned=1'> number {row} " + "long " * 300 for row in range(60)
    ]
    lines = [json.dumps({"text": one, "label": row % 3}) + "\n" for row, one in enumerate(texts)]
    (tmp_path / "data.jsonl").write_text("".join(lines), encoding="utf-8")
    words = ["--encoder", WORDS, "--payload-field", "text", "--budget", 10]
    answer("run", tmp_path / "data.jsonl", "--state", tmp_path / "state", *words)
    unit = list_snapshots(tmp_path / "state")[-1]
    sample_id = read_snapshot(unit).rows.samples.ids[0]
    with served_state(tmp_path / "state") as url:
        canvas = opened(browser, url, unit)
        move_to(browser, canvas, where(browser, "Sample", sample_id)).perform()
        wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#tip p.text"))
        shown_text = browser.find_element(By.CSS_SELECTOR, "#tip p.text").text
        assert shown_text.startswith("<img src=x onerror='window.pwned=1'> number ")
        assert shown_text.endswith("…")
        assert browser.execute_script("return window.pwned") is None
        assert complaints(browser) == []


def test_a_click_on_a_cell_shows_its_members(browser: Chrome, images: Path) -> None:
    """In a table; one of them then tells why it is there."""
    unit = list_snapshots(images)[-1]
    rows = read_snapshot(unit).rows
    cell = rows.cells[0]
    members = [str(one) for one, of in zip(rows.samples.ids, rows.cells, strict=True) if of == cell]
    with served_state(images) as url:
        canvas = opened(browser, url, unit)
        move_to(browser, canvas, where(browser, "Cell", ",".join(map(str, cell)))).click().perform()
        buttons = browser.find_elements(By.CSS_SELECTOR, "#members button")
        assert [button.text for button in buttons] == members
        assert f"{len(members)} chosen" in text(browser, "members-title")
        buttons[0].click()
        told = ask(f"{url}/api/v1/why?id={members[0]}").json()["why"]
        wait(browser, lambda: told in text(browser, "detail"))


def test_keys_do_all_that_the_pointer_does(browser: Chrome, images: Path) -> None:
    """Arrows go from cell to cell, Enter shows members, plus zooms, 0 and Escape go back."""
    unit = list_snapshots(images)[-1]
    cells = read_snapshot(unit).cells
    fullest = cells.cells[int(cells.counts.argmax())]
    key = ",".join(map(str, fullest))
    with served_state(images) as url:
        canvas = opened(browser, url, unit)
        canvas.send_keys(Keys.ARROW_LEFT)
        assert text(browser, "said").startswith(f"Cell {key}: {cells.counts.max()} samples")
        canvas.send_keys(Keys.ENTER)
        assert f"cell {key}:" in text(browser, "members-title")
        before = text(browser, "said")
        canvas.send_keys(*[Keys.ARROW_LEFT, Keys.ARROW_RIGHT, Keys.ARROW_UP])
        assert text(browser, "said") != before
        at = where(browser, "Cell", key)
        canvas.send_keys("+")
        assert where(browser, "Cell", key) != at
        canvas.send_keys("0", Keys.ESCAPE)
        assert where(browser, "Cell", key) == pytest.approx(at)
        assert text(browser, "said") == ""


def test_the_slider_goes_back_in_time(browser: Chrome, images: Path) -> None:
    """Each stop is a snapshot; the last one follows the newest again."""
    units = list_snapshots(images)
    with served_state(images) as url:
        opened(browser, url, units[-1])
        slider, follow = (browser.find_element(By.ID, name) for name in ("slider", "follow"))
        for unit in reversed(units[:-1]):
            slider.send_keys(Keys.ARROW_LEFT)
            wait_for(browser, unit)
        assert not follow.is_selected()
        cell = read_snapshot(units[0]).cells.cells[0]
        browser.execute_script("choose(model.byKey.get(arguments[0]))", ",".join(map(str, cell)))
        for key, unit in ((Keys.ARROW_RIGHT, units[1]), (Keys.ARROW_LEFT, units[0])):
            slider.send_keys(key)
            wait_for(browser, unit)
        counted = read_snapshot(units[0]).cells.counts[0]
        assert f": {counted} samples counted" in text(browser, "said")
        assert text(browser, "n") == str(read_snapshot(units[0]).n)
        slider.send_keys(Keys.END)
        wait_for(browser, units[-1])
        assert follow.is_selected()


def test_a_new_snapshot_comes_by_itself(browser: Chrome, tmp_path: Path) -> None:
    """Where the newest is followed; who looks at an older one is left there."""
    state = make_state(tmp_path, snapshots=3)
    *first, second, third = list_snapshots(state)
    second.rename(tmp_path / second.name)
    third.rename(tmp_path / third.name)
    with served_state(state) as url:
        opened(browser, url, first[-1])
        (tmp_path / second.name).rename(second)  # as a run puts it there
        wait_for(browser, second)
        slider = browser.find_element(By.ID, "slider")
        slider.send_keys(Keys.ARROW_LEFT)
        wait_for(browser, first[-1])
        (tmp_path / third.name).rename(third)
        wait(browser, lambda: slider.get_attribute("max") == str(len(first) + 1))
        assert shown(browser) == first[-1].name


def test_it_asks_for_the_token(browser: Chrome, images: Path) -> None:
    """The page is open, what it shows is not; a wrong token is said to be one."""
    unit = list_snapshots(images)[-1]
    with served_state(images, TOKEN) as url:
        browser.get(url)
        field = browser.find_element(By.ID, "token")
        wait(browser, field.is_displayed)
        assert shown(browser) is None
        refused = browser.find_element(By.ID, "refused")
        assert not refused.is_displayed()
        for wrong in ("wrong", "\u2603"):
            field.send_keys(wrong, Keys.ENTER)
            wait(browser, refused.is_displayed)
        field.send_keys(TOKEN, Keys.ENTER)
        wait_for(browser, unit)
        browser.get(url)
        wait_for(browser, unit)
        browser.execute_script("sessionStorage.clear()")
        assert TOKEN not in browser.page_source


def test_many_cells_and_samples_are_drawn_smoothly(browser: Chrome, tmp_path: Path) -> None:
    """2,000 cells and 5,000 samples: not much more than as many discs without a meaning."""
    snapshot = made(5_000, np.random.default_rng(0))
    snapshot.manifest["quantiser"] = {"kind": "codebook"}
    unit = tmp_path / "snapshots" / snapshot.id
    write_snapshot(snapshot, unit, time="2026-01-01T00:00:00+00:00", offsets={})
    with served_state(tmp_path) as url:
        opened(browser, url, unit)
        assert text(browser, "cells") == "2,000"
        times = """const context = document.getElementById("map").getContext("2d");
            const least = (draw) => {  // the others were disturbed
                const times = [];
                for (let at = 0; at < 21; at++) {
                    const start = performance.now(); draw();
                    context.getImageData(0, 0, 1, 1);
                    times.push(performance.now() - start); }
                return Math.min(...times); };
            const bare = least(() => {
                for (let at = 0; at < 7_000; at++) {
                    context.beginPath();
                    context.arc(at % 640, at % 480, 4, 0, 2 * Math.PI);
                    context.fill(); } });
            return least(echoStream.draw) / bare"""
        assert browser.execute_script(times) < SMOOTH


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_both_schemes(images: Path, scheme: str) -> None:
    """Text stands out from its ground by 4.5 to 1, as WCAG AA asks."""
    unit = list_snapshots(images)[-1]
    with served_state(images) as url, chromium(scheme) as browser:
        opened(browser, url, unit)
        for ground in ("page", "panel"):
            for name in ("text", "soft", "accent", "warn"):
                assert contrast(colour(browser, name), colour(browser, ground)) >= 4.5
        lightness = luminance(colour(browser, "page"))
        assert (lightness > 0.5) == (scheme == "light")


def colour(browser: Chrome, name: str) -> str:
    """Return a colour of the page, such as #10151c."""
    script = "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0])"
    return str(browser.execute_script(script, f"--{name}")).strip()


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, by WCAG 2."""
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, by WCAG 2."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.slow
def test_the_page_may_ask_nobody_else(images: Path) -> None:
    """Its policy allows its own script and style, and requests to the server alone."""
    with served_state(images) as url:
        found = ask(url)
    policy = found.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy
    assert b"http://" not in found.body
    assert b"https://" not in found.body
