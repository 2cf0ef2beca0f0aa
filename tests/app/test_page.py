"""The page in a real browser: what a person does with it, and what is then in the folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from fake_app import FakeApp, serving
from page import Page, needs_chromium

pytestmark = needs_chromium
SIZE = 192
EXPECTED = re.compile(r"status of (409|423|507)")  # what a refused request leaves in the console


@pytest.fixture
def window(browser, app: FakeApp) -> Iterator[Callable[..., Page]]:
    """Opens windows of the page, each a browser of its own unless a context is given; none may complain."""
    pages: list[Page] = []
    with serving(app) as url:
        app.url = url

        def open_window(context=None, **options) -> Page:
            pages.append(Page(context or browser.new_context(**options), url))
            return pages[-1]

        yield open_window
        for context in {page.page.context for page in pages}:
            context.close()
    assert [text for page in pages for text in page.complaints if not EXPECTED.search(text)] == []


def saved(app: FakeApp, image: int = 0, part: str = "") -> np.ndarray:
    with Image.open(app.folder / part / f"bird_{image:05d}.png") as opened:
        assert opened.mode == "L"
        return np.array(opened)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """(SIZE, SIZE) bool: the pixels whose centre is within ``radius`` of a point."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def test_from_four_keypoints_to_a_part_mask_in_the_folder(window, app: FakeApp) -> None:
    page = window().open(0)
    assert app.asked == [{"keypoints": {}, "box": None, "mask": None}]
    points = {"back": (100, 80), "beak": (20, 84), "belly": (100, 140), "breast": (70, 110)}
    before = page.colour(20, 84, SIZE)
    for point in points.values():  # each next keypoint is chosen by itself
        page.click(*point, SIZE)
    page.settled()
    assert {name: pytest.approx(at, abs=1) for name, at in points.items()} == app.asked[-1]["keypoints"]
    assert page.colour(14, 86, SIZE) != before, "the beak, found with the labels only, is not seen"

    page.part("tail")
    page.drag((30, 150), (60, 150), size=SIZE)
    page.press("Control+z")
    page.drag((150, 30), (150, 30), size=SIZE)
    page.state("not saved")
    page.press("Control+s")
    page.state("corrected")
    drawn = saved(app)
    expected = np.where(disc(150, 30, 6), 9, app.birds["parts"][0])
    assert (drawn != expected).sum() <= 8, "a rim of half a pixel may differ, as the pointer stands on whole pixels"
    assert drawn[150, 45] == app.birds["parts"][0][150, 45], "the stroke that was taken back is in the file"

    page.page.reload()
    page.settled().state("corrected")
    assert len(app.asked) == app.asked.index(app.asked[-1]) + 1, "the model was asked though parts are saved"
    page.part("beak")
    page.click(100, 10, SIZE)
    page.press("Control+s")
    page.says("bird_00000.png: corrected.")
    assert saved(app)[10, 100] == 1
    assert (saved(app) != drawn).sum() == (saved(app) == 1).sum() - (drawn == 1).sum(), "more changed than was drawn"


def test_polygon_fill_and_eraser_change_the_pixels_inside_and_no_other(window, app: FakeApp) -> None:
    page = window().open(0)
    model = np.where(app.birds["parts"][0] == 1, 0, app.birds["parts"][0])
    page.part("beak")
    page.choose("polygon")
    for corner in ((20, 150), (60, 150), (60, 180), (20, 180)):
        page.click(*corner, SIZE)
    page.press("c")
    page.part("left_leg")
    page.choose("flood")
    page.click(40, 165, SIZE)
    page.choose("brush")
    page.press("e")
    page.drag((40, 165), (40, 165), size=SIZE)
    page.press("Control+s")
    page.state("corrected")
    drawn = saved(app)
    assert (drawn == 1).sum() == 0, "the fill left something of the polygon"
    assert (drawn == 4).sum() == pytest.approx(40 * 30 - disc(40, 165, 6).sum(), abs=80)
    assert drawn[165, 40] == 0
    outside = np.ones((SIZE, SIZE), bool)
    outside[148:183, 18:63] = False
    assert (drawn[outside] == model[outside]).all()


def test_box_mask_ruler_and_retraining(window, app: FakeApp) -> None:
    page = window().open(1)
    assert app.asked[0]["mask"], "the mask that came with the data was not sent"
    page.choose("box")
    page.drag((20, 30), (120, 150), size=SIZE)
    page.settled()
    assert app.asked[-1]["box"] == pytest.approx([20, 30, 120, 150], abs=1)
    page.page.locator("#drop-mask").click()
    page.settled()
    assert app.asked[-1]["mask"] is None
    page.choose("mask")
    page.drag((60, 60), (100, 60), size=SIZE)
    page.settled()
    assert app.asked[-1]["mask"] is not None

    page.choose("ruler")
    page.click(10, 100, SIZE)
    page.click(110, 100, SIZE)
    page.page.locator("#length-value").focus()
    page.page.keyboard.type("2,5")  # as it is written in many countries
    page.page.locator("#length-others").check()
    page.press("Enter")
    page.says("Scale saved: 2.5 mm, so")
    page.says("for all images without one")
    [scale] = app.scales
    assert (scale["image"], scale["length"], scale["unit"]) == (1, 2.5, "mm") and scale["others"]
    assert np.ravel(scale["points"]) == pytest.approx([10, 100, 110, 100], abs=1)

    page.press("Control+s")
    page.state("accepted")
    page.press("Shift+R")
    page.page.locator("#retrain[open]").wait_for()
    assert page.page.locator("#retrain-command").inner_text() == "coarseparts train birds.yaml"
    assert "part_masks: birds_corrected/parts" in page.page.locator("#retrain-lines").inner_text()


def test_keyboard_alone_opens_labels_corrects_and_saves(window, app: FakeApp) -> None:
    page = window().open()
    page.press("ArrowRight", "Enter")
    page.settled()
    page.press("ArrowLeft", "ArrowUp", "Enter")  # a keypoint, at the cursor
    page.settled()
    [(name, (x, y))] = app.asked[-1]["keypoints"].items()
    assert name == "back" and 80 < x < SIZE / 2 and 80 < y < SIZE / 2
    page.press("p", "2", "Control+ArrowRight", "Enter", "ArrowRight", "ArrowRight", "Enter")  # a stroke
    page.press("g", "3", "Enter", "Control+ArrowDown", "Enter", "Control+ArrowRight", "Enter", "Shift+Enter")
    page.state("not saved")
    page.press("Control+s")
    page.state("corrected")
    assert {2, 3} <= set(np.unique(saved(app, 1)).tolist())
    page.press("n")
    page.page.locator("#name", has_text="bird_00002").wait_for()
    page.press("?")
    assert "Close the polygon" in page.page.locator("#help").inner_text()
    page.press("Escape", "l")
    page.page.locator('.tile button[aria-label^="bird_00001.png, corrected"]').wait_for()


def test_a_phone_shows_everything_without_scrolling_sideways_and_zooms_by_two_fingers(window, app: FakeApp) -> None:
    page = window(viewport={"width": 360, "height": 740}, has_touch=True)
    widest = "document.documentElement.scrollWidth"
    assert page.open().page.evaluate(widest) == 360
    assert page.open(0).page.evaluate(widest) == 360
    outside = page.page.evaluate(
        "[...document.querySelectorAll('button, input, canvas')].filter((e) => e.getClientRects().length"
        " && (e.getBoundingClientRect().right > 360 || e.getBoundingClientRect().left < 0)).map((e) => e.id)"
    )
    assert outside == []
    before = [page.colour(x, 100, SIZE) for x in (60, 100, 140)]
    fingers = page.page.context.new_cdp_session(page.page)
    centre = page.at(96, 96, SIZE)
    for kind, spread in (("touchStart", 20), ("touchMove", 60), ("touchMove", 100), ("touchEnd", None)):
        places = [] if spread is None else [{"x": centre[0] + side * spread, "y": centre[1]} for side in (-1, 1)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    assert [page.colour(x, 100, SIZE) for x in (60, 100, 140)] != before
    assert app.asked[-1]["keypoints"] == {}, "two fingers placed a keypoint"
    page.page.touchscreen.tap(*centre)
    page.settled()
    assert "back" in app.asked[-1]["keypoints"]


def test_what_cannot_be_saved_stays_in_the_browser_until_it_is(window, app: FakeApp) -> None:
    page = window().open(0)
    context = page.page.context
    full = {"status": 507, "json": {"error": "The disk is full."}}
    context.route(
        "**/parts", lambda route: route.fulfill(**full) if route.request.method == "PUT" else route.continue_()
    )
    page.part("head")
    page.click(150, 30, SIZE)
    page.press("a")
    page.says("Not saved; your work stays in this browser. The disk is full.")
    page.state("not saved")
    page.page.close()
    context.unroute("**/parts")

    again = window(context).open()
    again.page.locator("#to-unsaved", has_text="1 not saved").click()
    again.says("is here again")
    again.settled().state("not saved")
    again.press("Control+s")
    again.state("corrected")
    assert saved(app)[30, 150] == 2
    assert again.page.locator("#to-unsaved").is_hidden()


def test_work_is_kept_when_the_window_is_closed_in_the_middle(window, app: FakeApp) -> None:
    page = window().open(0)
    context = page.page.context
    page.click(100, 80, SIZE)
    page.part("head")
    page.click(150, 30, SIZE)
    page.page.close()
    again = window(context).open(0)
    again.says("is here again")
    again.press("Control+s")
    again.state("corrected")
    assert saved(app)[30, 150] == 2


def test_two_windows_of_one_browser_keep_two_works(window, app: FakeApp) -> None:
    first = window().open(0)
    first.part("head")
    first.click(150, 30, SIZE)
    first.state("not saved")
    second = window(first.page.context).open(0)
    second.says("is open in another window, too")
    second.part("torso")
    second.click(30, 30, SIZE)
    second.press("Control+s")
    second.state("corrected")
    assert (saved(app)[30, 150], saved(app)[30, 30]) == (0, 10)
    first.page.close()
    third = window(second.page.context).open(0)
    third.says("Somebody saved bird_00000.png since")
    third.press("Control+s")
    third.page.locator("#conflict button", has_text="Save mine").click()
    third.state("corrected")
    assert (saved(app)[30, 150], saved(app)[30, 30]) == (2, 0)


def test_nothing_is_drawn_over_parts_that_the_model_has_not_found_yet(window, app: FakeApp) -> None:
    app.delays = [1.0]
    page = window()
    page.page.goto(f"{app.url}/#image=0")
    page.page.locator("#busy").wait_for()
    page.part("head")
    page.click(150, 30, SIZE)
    page.says("draw when they are shown")
    page.press("Control+s")
    page.says("save when they are shown")
    page.settled().state("new")
    page.drag((150, 30), (150, 60), size=SIZE)
    page.press("Control+s")
    page.state("corrected")
    assert saved(app)[30, 150] == 2 and len(np.unique(saved(app))) > 4


@pytest.mark.parametrize("choice", ["Save mine", "Take theirs"])
def test_the_second_window_is_told_and_no_work_is_lost(window, app: FakeApp, choice: str) -> None:
    first, second = window().open(0), window().open(0)
    second.says("is open in another window, too")
    for page, part, x in ((first, "head", 150), (second, "torso", 30)):
        page.part(part)
        page.click(x, 30, SIZE)
    first.press("Control+s")
    first.state("corrected")
    second.press("Control+s")
    second.page.locator("#conflict button", has_text=choice).click()
    second.state("corrected")
    second.page.locator("#to-unsaved").wait_for(state="hidden")
    mine = choice == "Save mine"
    assert saved(app)[30, 150] == (0 if mine else 2)
    assert saved(app)[30, 30] == (10 if mine else 0)


def test_an_answer_to_an_older_question_is_dropped_and_drawn_parts_are_not_replaced_unasked(
    window, app: FakeApp
) -> None:
    page = window().open(0)
    app.delays = [1.0, 0.0]
    page.click(100, 80, SIZE)
    page.page.wait_for_timeout(300)  # the question is on its way
    page.click(70, 110, SIZE)
    page.settled()
    assert [len(labels["keypoints"]) for labels in app.asked] == [0, 1, 2]
    page.part("head")
    page.click(150, 30, SIZE)
    page.choose("keypoint")
    page.click(60, 60, SIZE)
    page.page.wait_for_timeout(300)
    assert len(app.asked) == 3
    page.press("r")  # asked for: the model's parts replace the drawn ones, and that can be undone
    page.settled()
    page.press("Control+z", "Control+s")
    page.state("corrected")
    assert saved(app)[30, 150] == 2


def test_ten_thousand_images_open_quickly_scroll_and_filter(window, app: FakeApp) -> None:
    app.state *= 1667
    page = window().open()
    once = page.page.evaluate("performance.now()")
    again = page.open().page.evaluate("performance.now()")
    assert min(once, again) < 2000
    assert page.page.locator("#total").inner_text() == "10,002 images"
    page.press("End")
    page.page.locator('.tile button[aria-label^="bird_10001.png"]').wait_for()
    assert page.page.locator(".tile").count() < 150
    page.page.locator("#query").fill("bird_0777")
    page.page.locator("#total", has_text="10 images").wait_for()
    page.page.locator('.tile button[aria-label^="bird_07775.png"]').click()
    page.settled().press("n")
    page.page.locator("#name", has_text="bird_07776").wait_for()


def test_overlapping_parts_are_saved_as_a_mask_each(browser, tmp_path: Path) -> None:
    app = FakeApp(tmp_path, overlapping=True)
    with serving(app) as url:
        page = Page(browser.new_context(), url).open(0)
        page.part("beak")
        x, y = np.argwhere(app.birds["parts"][0] == 2)[200][::-1]
        page.click(x, y, SIZE)
        page.press("Control+s")
        page.state("corrected")
        page.page.context.close()
    assert saved(app, part="beak")[y, x] == saved(app, part="head")[y, x] == 255
    assert set(np.unique(saved(app, part="left_wing")).tolist()) == {0, 255}


def test_the_help_and_the_documentation_list_the_same_keys(window) -> None:
    page = window().open()
    page.press("?")
    cells = (
        "[...document.querySelectorAll('#key-list tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    help_rows = page.page.evaluate(cells)
    documented = (Path(__file__).parents[2] / "docs" / "app.md").read_text().partition("| Key |")[2]
    assert re.findall(r"^\| `(.+)` \| (.+) \|$", documented, re.MULTILINE) == [tuple(row) for row in help_rows]


def test_landmarks_names_and_states_are_there_for_a_screen_reader(window) -> None:
    page = window().open(0)
    for role in ("banner", "navigation", "main", "complementary", "contentinfo", "status", "alert"):
        assert page.page.get_by_role(role).count() == 1, role
    nameless = page.page.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas')].filter((e) => !(e.ariaLabel"
        " || e.textContent.trim() || e.labels?.[0]?.textContent.trim())).map((e) => e.outerHTML)"
    )
    assert nameless == []
    assert page.page.get_by_role("button", name="Keypoint", pressed=True).count() == 1
    page.choose("brush")
    assert page.page.locator("#polite").inner_text().startswith("Brush.")
    page.press("t")
    assert page.page.get_by_role("radio", name="head", exact=True).is_checked()


def test_a_damaged_image_is_shown_as_damaged_with_the_reason(window, app: FakeApp) -> None:
    app.state[2]["status"] = "damaged"
    page = window().open()
    page.page.locator('.tile button[aria-label^="bird_00002.png, damaged"]').click()
    page.says("bird_00002.png cannot be worked on: cut short")
    assert page.page.locator("#reason").inner_text() == "cut short"
    assert page.page.locator("#accept").is_disabled()
    page.press("Shift+N")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.press("n")  # past the damaged one
    page.page.locator("#name", has_text="bird_00003").wait_for()
