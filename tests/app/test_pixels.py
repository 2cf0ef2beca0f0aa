"""What the page's modules do to pixels, in the browser's own words, beside Pillow, NumPy and SciPy."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
from fake_app import FakeApp, serving
from page import chromium, needs_chromium

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable]:
    """call(module, body, given): evaluates ``body`` with the module as ``m`` and ``given`` as ``g``."""
    with serving(FakeApp(Path(tmp_path_factory.mktemp("pixels")), size=32)) as url, chromium() as browser:
        page = browser.new_page()
        page.goto(url)

        def evaluate(module: str, body: str, given: object) -> object:
            return page.evaluate(f"async (g) => {{ const m = await import('/static/{module}'); {body} }}", given)

        yield evaluate


def noise(height: int, width: int, values: int = 256) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, values, (height, width), dtype=np.uint8)


@pytest.mark.parametrize("height, width", [(1, 1), (7, 13), (64, 61)])
def test_a_written_png_is_what_was_meant(call, height: int, width: int) -> None:
    plane = noise(height, width)
    body = "return m.toBase64(await m.encode(Uint8Array.from(g[0]), g[1], g[2]))"
    text = call("png.js", body, [plane.ravel().tolist(), width, height])
    with Image.open(io.BytesIO(base64.b64decode(text))) as opened:
        assert opened.mode == "L"
        assert (np.array(opened) == plane).all()


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("smooth", [False, True])
def test_a_read_png_is_what_was_written_whatever_filters_it_has(call, level: int, smooth: bool) -> None:
    plane = noise(64, 61)
    if smooth:
        plane = ndimage.gaussian_filter(plane.astype(float), 3).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(plane).save(out, "PNG", compress_level=level)
    read = call(
        "png.js",
        "const d = await m.decode(m.fromBase64(g)); return [d.width, d.height, [...d.plane]]",
        base64.b64encode(out.getvalue()).decode(),
    )
    assert read == [61, 64, plane.ravel().tolist()]


@pytest.mark.parametrize("damage", ["cut", "palette", "colour", "none"])
def test_a_png_that_is_no_grey_one_or_is_damaged_is_refused(call, damage: str) -> None:
    out = io.BytesIO()
    mode = {"palette": "P", "colour": "RGB"}.get(damage, "L")
    Image.fromarray(noise(9, 9)).convert(mode).save(out, "PNG")
    data = {"cut": out.getvalue()[:-30], "none": b"GIF89a"}.get(damage, out.getvalue())
    body = "try { await m.decode(m.fromBase64(g)); return 'read' } catch { return 'refused' }"
    assert call("png.js", body, base64.b64encode(data).decode()) == "refused"


def drawn(call, function: str, plane: np.ndarray, *arguments: object) -> tuple[np.ndarray, list | None]:
    """The plane after a function of planes.js set pixels to 9, and the bounds that it told."""
    height, width = plane.shape
    body = (
        f"const p = Uint8Array.from(g[0]); const b = m.{function}(p, g[1], g[2], ...g[3], () => 9); return [[...p], b]"
    )
    pixels, bounds = call("planes.js", body, [plane.ravel().tolist(), width, height, list(arguments)])
    return np.array(pixels, np.uint8).reshape(height, width), bounds


def within(changed: np.ndarray, bounds: list | None) -> bool:
    outside = changed.copy()
    if bounds:
        x0, y0, x1, y1 = bounds
        outside[y0:y1, x0:x1] = False
    return not outside.any()


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_holds_the_pixels_whose_centre_lies_inside(call, seed: int) -> None:
    corners = np.random.default_rng(seed).uniform(-8, 40, (3 + seed, 2))
    before = np.zeros((30, 33), np.uint8)
    after, bounds = drawn(call, "polygon", before, corners.tolist())
    rows, columns = np.mgrid[:30, :33] + 0.5
    inside = np.zeros((30, 33), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        crosses = (y0 <= rows) != (y1 <= rows)
        inside ^= crosses & (columns >= x0 + (rows - y0) / (y1 - y0) * (x1 - x0))
    assert (after == np.where(inside, 9, 0)).all()
    assert within(after != before, bounds)


@pytest.mark.parametrize("a, b, radius", [((5, 5), (5, 5), 3), ((-4, 9), (40, 20), 2.5), ((3.2, 3.9), (9, 3.9), 0.5)])
def test_a_stroke_holds_the_pixels_within_its_radius_and_never_none(call, a: tuple, b: tuple, radius: float) -> None:
    before = np.zeros((24, 30), np.uint8)
    after, bounds = drawn(call, "stroke", before, list(a), list(b), radius)
    rows, columns = np.mgrid[:24, :30] + 0.5
    line = np.subtract(b, a)
    along = ((columns - a[0]) * line[0] + (rows - a[1]) * line[1]) / max(1e-9, (line**2).sum())
    t = along.clip(0, 1)
    distance = np.hypot(columns - a[0] - t * line[0], rows - a[1] - t * line[1])
    assert (after == np.where(distance <= max(radius, 0.71), 9, 0)).all()
    assert after.any() and within(after != before, bounds)


@pytest.mark.parametrize("x, y", [(0, 0), (12, 9), (29, 23)])
def test_fill_reaches_the_connected_patch_and_no_further(call, x: int, y: int) -> None:
    before = (noise(24, 30, 3) > 0).astype(np.uint8)
    after, bounds = drawn(call, "flood", before, [x + 0.5, y + 0.5])
    patches, _ = ndimage.label(before == before[y, x])
    assert (after == np.where(patches == patches[y, x], 9, before)).all()
    assert within(after != before, bounds)


def test_overlapping_parts_are_drawn_and_erased_one_without_the_other(call) -> None:
    body = "return [m.changing(true, 2, false)(5), m.changing(true, 1, true)(7), m.changing(false, 3, false)(1)]"
    assert call("planes.js", body, None) == [7, 6, 3]
