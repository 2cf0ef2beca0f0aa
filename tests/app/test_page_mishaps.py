"""The page when things come in between: windows that change, answers that come late, buttons that go."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from fake_app import FakeApp, serving
from page import Page, needs_chromium

pytestmark = needs_chromium
SIZE = 192
FOCUSED = "document.activeElement.id || document.activeElement.tagName"


@pytest.fixture
def open_page(browser, app: FakeApp) -> Iterator[Callable[..., Page]]:
    """Opens an image in a browser of its own, which may have no error but those of refused requests."""
    pages: list[Page] = []
    with serving(app) as url:

        def opened(image: int | None = 0, **options) -> Page:
            pages.append(Page(browser.new_context(**options), url).open(image))
            return pages[-1]

        yield opened
        for page in pages:
            page.page.context.close()
    assert [text for page in pages for text in page.complaints if "Failed to load resource" not in text] == []


def saved(app: FakeApp, image: int = 0) -> np.ndarray:
    with Image.open(app.folder / f"bird_{image:05d}.png") as opened:
        return np.array(opened)


def test_a_polygon_is_still_there_after_the_window_changed(open_page, app: FakeApp) -> None:
    page = open_page()
    page.part("beak")
    page.choose("polygon")
    for corner in ((20, 150), (60, 150), (60, 180)):
        page.click(*corner, SIZE)
    page.page.set_viewport_size({"width": 900, "height": 900})
    page.press("z")
    page.page.wait_for_timeout(100)
    page.click(20, 180, SIZE)
    page.press("c", "Control+s")
    page.state("corrected")
    assert (saved(app)[152:178, 22:58] == 1).all()


def test_a_key_that_comes_while_an_image_is_left_is_no_error(open_page) -> None:
    page = open_page()
    page.part("beak")
    page.choose("polygon")
    for corner in ((20, 150), (60, 150), (60, 180)):
        page.click(*corner, SIZE)
    page.page.route("**/api/images?*", lambda route: (page.page.wait_for_timeout(500), route.continue_()))
    page.press("n", "c")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.settled().state("new")
    assert page.complaints == []


def test_what_is_drawn_is_seen(open_page) -> None:
    page = open_page()
    page.page.get_by_label("Show tail", exact=True).uncheck()
    page.press("o")
    before = page.colour(150, 30, SIZE)
    page.part("tail")
    page.click(150, 30, SIZE)
    page.page.mouse.move(0, 0)
    assert page.page.get_by_label("Show tail", exact=True).is_checked()
    assert page.colour(150, 30, SIZE) != before


def test_trying_again_never_saves_another_image(open_page, app: FakeApp) -> None:
    page = open_page()
    full = {"status": 507, "json": {"error": "The disk is full."}}

    def late(route) -> None:
        if route.request.method == "PUT":
            page.page.wait_for_timeout(500)
            return route.fulfill(**full)
        return route.continue_()

    page.page.route("**/parts", late)
    page.press("Control+s")
    page.press("n")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.settled().says("Not saved; your work stays in this browser. The disk is full.")
    page.page.unroute("**/parts")
    page.page.locator(".message button", has_text="Try again").click()
    page.says("Open bird_00000.png to save it.")
    page.state("new")
    assert [state["status"] for state in app.state[:2]] == ["new", "new"]
    page.page.locator("#to-unsaved").click()
    page.page.locator("#name", has_text="bird_00000").wait_for()
    page.settled().press("Control+s")
    page.state("accepted")
    assert [state["status"] for state in app.state[:2]] == ["accepted", "new"]


def test_work_on_a_photograph_that_another_one_replaced_is_kept_and_told(open_page, app: FakeApp) -> None:
    page = open_page()
    page.part("beak")
    page.drag((20, 150), (60, 150), size=SIZE)
    app.pixels = "others"
    page.press("Control+s")
    page.says("Not saved; your work stays in this browser. It is another photograph.")
    page.page.reload()
    page.settled().says("bird_00000.png is not the photograph that you worked on under this name. Look whether")
    page.page.reload()
    page.settled().says("bird_00000.png is not the photograph that you worked on")
    page.press("Control+s")  # whoever has looked may
    page.state("corrected")
    assert (saved(app)[150, 20:60] == 1).all()


def test_the_grid_shows_the_image_that_one_comes_from(open_page, app: FakeApp) -> None:
    app.state *= 50
    page = open_page(None, viewport={"width": 320, "height": 256})
    page.press("End", "Enter")
    page.settled()
    page.press("l")
    last = page.page.locator('.tile button[aria-label^="bird_00299.png"]:focus')
    last.wait_for()
    assert 0 < last.bounding_box()["y"] < 256


def test_who_draws_while_it_is_saved_is_not_taken_for_somebody_else(open_page, app: FakeApp) -> None:
    page = open_page()

    def late(route) -> None:
        if route.request.method == "PUT":
            page.page.wait_for_timeout(500)
        return route.continue_()

    page.page.route("**/parts", late)
    page.part("head")
    page.click(150, 30, SIZE)
    page.press("Control+s")
    page.click(30, 30, SIZE)
    page.says("bird_00000.png: corrected.")
    page.page.reload()
    page.settled().state("not saved")
    page.press("Control+s")
    page.state("corrected")
    assert saved(app)[30, 150] == saved(app)[30, 30] == 2
    assert not page.page.locator("#conflict").is_visible()


def test_what_was_saved_for_another_size_is_told_and_can_be_made_anew(open_page, app: FakeApp) -> None:
    small = FakeApp(app.folder, size=64)
    app.state[0] = {"status": "corrected", "revision": 3, "saved": {"parts": small.answer(0, EMPTY)["parts"]}}
    page = open_page()
    page.says("What was saved for bird_00000.png is not shown.")
    page.settled().press("Control+s")
    page.state("accepted")
    assert saved(app).shape == (SIZE, SIZE) and app.state[0]["revision"] == 4


EMPTY: dict = {"keypoints": {}, "box": None, "mask": None}


def test_keypoints_and_notes_of_an_image_as_the_server_tells_them(open_page, app: FakeApp) -> None:
    told = app.image

    def image(i: int) -> dict:
        return told(i) | {"another": True, "labels": EMPTY | {"keypoints": {"nose": [1, 2], "beak": [20, 84]}}}

    app.image = image
    page = open_page()
    page.says("bird_00000.png is not the photograph that was saved under this name")
    assert app.asked[-1]["keypoints"] == {"beak": [20, 84]}, "a keypoint that the model does not know was sent"


def test_the_focus_is_never_lost_with_a_button_that_goes(open_page) -> None:
    page = open_page()
    page.click(100, 80, SIZE)
    page.settled()
    for button in ("#undo", "#redo", "#ask", "#keypoints .drop:visible"):
        page.page.locator(button).first.focus()
        page.press("Enter")
        page.settled()
        assert page.page.evaluate(FOCUSED) != "BODY", button
    page.press("a")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.settled()
    page.press("Shift+n")
    page.page.locator("#name", has_text="bird_00000").wait_for()
    page.settled()
    page.press("Shift+n")
    page.says("That was the first image")
    page.page.get_by_role("button", name="Close this message").first.focus()
    page.press("Enter")
    assert page.page.evaluate(FOCUSED) == "main"


def test_a_dialog_closes_by_a_click_beside_it_and_by_none_within(open_page) -> None:
    page = open_page()
    page.press("i")
    box = page.page.locator("#settings").bounding_box()
    page.page.mouse.click(box["x"] + 4, box["y"] + 4)
    assert page.page.locator("#settings").is_visible()
    page.page.mouse.click(2, 2)
    page.page.locator("#settings").wait_for(state="hidden")
    assert page.page.evaluate("localStorage.getItem('coarseparts.author')") is None, "a name that nobody wrote is kept"


def test_an_image_that_is_taken_up_again_is_shown_as_it_was_saved(open_page, app: FakeApp) -> None:
    page = open_page()
    page.part("head")
    page.click(150, 30, SIZE)
    page.press("Control+s")
    page.state("corrected")
    app.state[0]["status"] = "skipped"
    page.page.reload()
    page.settled().state("skipped")
    save = app.save
    app.save = lambda i, body: save(i, body | ({"status": "corrected"} if body["status"] == "new" else {}))
    page.press("s")
    page.state("corrected")
    assert page.page.locator("#parts .score").first.inner_text() == "", "the model's parts are shown as the saved ones"


@pytest.mark.parametrize("length", ["0", "2"])
def test_a_length_of_nothing_is_refused_aloud(open_page, app: FakeApp, length: str) -> None:
    page = open_page()
    page.choose("ruler")
    page.click(10, 100, SIZE)
    page.click(110, 100, SIZE)
    page.page.locator("#length-value").fill(length)
    page.press("Enter")
    page.says("No scale is saved" if length == "0" else "Scale saved")
    assert len(app.scales) == int(length != "0")


def test_the_finger_that_opens_a_dialog_presses_nothing_in_it(open_page) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)

    def measure(x: float, y: float) -> str:
        for place in ((x, y - 60), (x, y)):
            page.page.touchscreen.tap(*place)
        page.page.locator("#length[open]").wait_for()
        page.page.wait_for_timeout(100)
        return page.page.evaluate(FOCUSED)

    page.choose("ruler")
    assert measure(*page.at(120, 120, SIZE)) == "length-value"
    box = page.page.locator("#length-unit").bounding_box()
    page.press("Escape")
    assert measure(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2) == "length-value"


def test_work_is_there_again_when_the_same_window_comes_back_to_an_image(open_page, app: FakeApp) -> None:
    page = open_page()
    page.part("tail")
    page.click(150, 30, SIZE)
    page.press("n")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.settled().page.locator("#to-unsaved", has_text="1 not saved").click()
    page.page.locator("#name", has_text="bird_00000").wait_for()
    page.settled().says("is here again")
    page.state("not saved")
    page.press("Control+s")
    page.state("corrected")
    assert saved(app)[30, 150] == app.parts.index("tail") + 1


def test_an_image_that_is_left_before_the_model_answered_is_asked_about_again(open_page, app: FakeApp) -> None:
    page = open_page()
    app.delays = [1.0]
    page.choose("box")
    page.drag((20, 20), (170, 170), size=SIZE)
    page.press("n")
    page.page.locator("#name", has_text="bird_00001").wait_for()
    page.settled().press("Shift+N")
    page.page.locator("#name", has_text="bird_00000").wait_for()
    page.settled().says("is here again")
    page.press("Control+s")
    page.state("accepted")
    assert app.asked[-1]["box"] is not None
    assert (saved(app) == 1).any()
