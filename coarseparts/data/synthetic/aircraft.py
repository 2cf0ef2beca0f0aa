"""Synthetic aircraft: images with exact and noisy part labels, figure-ground masks, boxes and keypoints, from a seed.

A stand-in for OID Aircraft (section 4.2): airliners, business jets, turboprops, light aircraft and fighters
(``airframes``) of convex solids (``solids``), painted (``liveries``), flying or on the ground (``airfields``), seen
from the sides and from three quarters. As there, parts overlap, leave the fuselage to none, and most labels are noisy
(``annotators``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.airfields import Surroundings, draw_surroundings, paint_surroundings
from coarseparts.data.synthetic.airframes import (
    BODY,
    FIRST_PART,
    KEYPOINTS,
    LAYERS,
    OUTLINES,
    PART_OF_OUTLINE,
    PARTS,
    draw_aircraft,
)
from coarseparts.data.synthetic.annotators import draw_hands, redraw
from coarseparts.data.synthetic.ellipsoids import NOTHING, wave
from coarseparts.data.synthetic.frames import hits, photographs, pixels, quarters, rendered, tight_boxes, view, visible
from coarseparts.data.synthetic.liveries import PAINT, paint_solids, place_glass
from coarseparts.data.synthetic.solids import FAR, PLANES, Cut, cast_layers, cut
from coarseparts.labels.schema import Schema

SCHEMA = Schema(
    parts=PARTS,
    overlapping=True,
    keypoints=KEYPOINTS,
    keypoint_mirror=(("left wing tip", "right wing tip"), ("left wheel", "right wheel")),
)

TOLERANCE = 0.09
"""How deep under the visible surface a keypoint still counts as visible, in half fuselage lengths."""

NOISES = 6


@dataclass
class Scene:
    """One image before it is drawn: geometry in samples of the 2x supersampled frame, and all random numbers.

    ``solids`` (E solids); ``forms`` (E, 9); ``layer`` (E,); ``colours`` (E, 9) three colours and ``style`` (E, STYLE)
    of ``liveries``; ``frame`` (12,) image space to the aircraft's own: 3x3 and offset; ``glass`` (10,) where windows
    are; ``light`` (5,): direction, ambient, diffuse; ``waves`` (NOISES, 4); ``points`` (6, 3) with NaN where it lacks
    one; ``hands`` (7, HAND); ``lens``: blur, contrast, brightness; ``camera_noise`` (3, S, S).
    """

    solids: Cut
    forms: np.ndarray
    layer: np.ndarray
    colours: np.ndarray
    style: np.ndarray
    frame: np.ndarray
    glass: np.ndarray
    light: np.ndarray
    waves: np.ndarray
    points: np.ndarray
    tolerance: float
    hands: np.ndarray
    surroundings: Surroundings
    lens: np.ndarray
    camera_noise: np.ndarray


def render(count: int, size: int = 96, seed: int = 0, first: int = 0, chunk: int = 8) -> dict[str, np.ndarray]:
    """Draws aircraft number ``first`` to ``first + count - 1`` of the world that ``seed`` names.

    Image i depends on ``seed``, ``size`` and ``first + i`` alone (``size`` changes its resolution only): neither on
    ``count`` nor on ``chunk``, the number of images drawn at a time (bit for bit). Returns

    - ``image`` (N, S, S, 3) uint8;
    - ``parts`` (N, S, S) uint8, a bit field: bit p is set where ``SCHEMA.parts[p]`` covers the pixel. Parts do not
      hide each other (a wheel before a wing belongs to both), the fuselage, engines and tailplane hide parts, things
      in front of the aircraft hide all. The fuselage belongs to no part;
    - ``noisy_parts`` (N, S, S) uint8, the same as careless annotators draw it, not confined to the mask;
    - ``mask`` (N, S, S) uint8, 0 or 255, the whole aircraft as far as it is seen; contains ``parts``;
    - ``box`` (N, 4) float32 (x0, y0, x1, y1) tight around the mask, in pixels;
    - ``keypoints`` (N, 6, 3) float32 (x, y, v) in pixels, left and right the aircraft's own, v = 2 and within the
      mask or (0, 0, 0) where hidden.

    Raises ValueError for numbers that make no sense.
    """
    maps = ("parts", "noisy_parts", "mask")
    return rendered(_scene, _draw, maps, len(KEYPOINTS), count, size, seed, first, chunk)


def _camera(rng: Generator, grounded: bool) -> np.ndarray:
    """(3, 3) rotation from the aircraft's axes to image space (y down): from a side or from three quarters."""
    side = rng.choice([-90.0, 90.0])
    turn = rng.normal(0, 30) if rng.random() < 0.75 else rng.uniform(-80, 80)
    if grounded:
        elevation, roll = np.clip(abs(rng.normal(4, 7)), 0.5, 40), rng.normal(0, 1.5)
    else:
        elevation, roll = np.clip(rng.normal(-8, 20), -60, 50), rng.normal(0, 13)
    return view(side + np.clip(turn, -85, 85), elevation, roll) * np.array([[1.0], [-1.0], [1.0]])


def _scene(rng: Generator, size: int) -> Scene:
    craft = draw_aircraft(rng)
    grounded = craft.ground is not None
    to_image = _camera(rng, grounded)
    centre = np.stack(craft.centre) @ to_image.T
    corners = np.stack(craft.corners) @ to_image.T
    low, high = corners[..., :2].min((0, 1)), corners[..., :2].max((0, 1))
    samples = 2 * size
    scale = rng.uniform(0.85, 0.98) * samples / (high - low).max()
    shift = rng.uniform(0.01, 0.99, 2) * (samples - scale * (high - low)) - scale * low
    move = np.array([*shift, 0.0])
    forms = np.stack(craft.form) @ to_image.T / scale
    planes = np.stack(craft.planes)
    planes[..., :3] = planes[..., :3] @ to_image.T
    planes[..., 3] *= scale
    solids = cut(scale * centre + move, forms, planes, scale * corners + move)
    points = np.full((len(KEYPOINTS), 3), np.nan)
    for name, place in craft.points.items():
        points[KEYPOINTS.index(name)] = scale * (to_image @ place) + move

    palette = PAINT[rng.integers(len(PAINT), size=int(rng.integers(2, 5)))]
    palette = np.clip(palette * rng.uniform(0.85, 1.05, (len(palette), 1)) + rng.normal(0, 0.02, palette.shape), 0, 1)
    colours, style = paint_solids(craft, palette, rng)
    light = np.array([rng.normal(0, 0.6), rng.normal(-0.8, 0.35), rng.uniform(0.1, 1.0)])
    ambient = rng.uniform(0.35, 0.8)
    tone = rng.uniform(0.25, 0.5) if rng.random() < 0.17 else rng.uniform(0.85, 1.1)  # some stand before the sun
    lights = np.array([*(light / np.linalg.norm(light)), tone * ambient, tone * (1.12 - ambient)])
    stand = None
    if grounded:
        stand = (scale * (to_image @ np.array([0.1, 0, craft.ground]))[:2] + shift) / samples
    rate = np.exp(rng.uniform(np.log(0.5), np.log(6.0), (NOISES, 1)))
    direction = rng.normal(size=(NOISES, 3))
    waves = rate * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    axis = np.tile([1.0, 0.0], (len(OUTLINES), 1))
    for name, along in craft.axis.items():
        seen = (to_image @ along)[:2]
        axis[OUTLINES.index(name)] = seen / max(float(np.hypot(*seen)), 1e-6)
    inverse = to_image.T / scale

    layer = np.array(craft.layer)
    spread = np.prod(solids.window[:, 2:] - solids.window[:, :2], axis=1)
    order = np.lexsort((-spread, layer))  # large ones first within a layer: see `cast_layers`
    return Scene(
        solids=Cut(**{name: values[order] for name, values in vars(solids).items()}),
        forms=forms.reshape(-1, 9)[order],
        layer=layer[order],
        colours=colours[order],
        style=style[order],
        frame=np.concatenate([inverse.ravel(), -inverse @ move]),
        glass=place_glass(craft, rng),
        light=lights,
        waves=np.concatenate([waves, rng.uniform(0, 1, (NOISES, 1))], axis=1),
        points=points,
        tolerance=TOLERANCE * scale,
        hands=draw_hands(rng, axis),
        surroundings=draw_surroundings(
            rng, palette, stand, scale * 0.14 / samples, occlude=rng.random() < (0.38 if grounded else 0.06)
        ),
        lens=np.array([max(0.0, rng.uniform(-0.2, 0.24)), rng.uniform(0.55, 1.2), rng.normal(0, 0.06)]),
        # Last, because how many numbers it takes depends on the size: an aircraft is the same at any size.
        camera_noise=np.float32(rng.uniform(0.004, 0.03)) * rng.standard_normal((3, size, size), dtype=np.float32),
    )


def _draw(scenes: list[Scene], size: int) -> dict[str, np.ndarray]:
    """Draws a chunk of scenes; see ``render`` for what it returns."""
    # Every layer gets as many slots as the image with most solids needs.
    most = [max(int((s.layer == g).sum()) for s in scenes) for g in range(len(LAYERS))]
    begin = np.concatenate([[0], np.cumsum(most)]).astype(int)
    layer = [g for g, n in enumerate(most) for _ in range(n)]
    rows = [np.concatenate([begin[g] + np.arange((s.layer == g).sum()) for g in range(len(LAYERS))]) for s in scenes]

    def padded(arrays: list[np.ndarray], empty: float = 0.0) -> Tensor:
        whole = np.full((len(scenes), len(layer), *arrays[0].shape[1:]), empty, np.float32)
        for out, row, array in zip(whole, rows, arrays, strict=True):
            out[row] = array
        return torch.from_numpy(whole)

    centre = padded([s.solids.centre for s in scenes])
    surface = padded([s.solids.surface for s in scenes], -1.0)  # nothing under the root is positive: no ray hits
    upper = padded([s.solids.upper for s in scenes], FAR)
    lower = padded([s.solids.lower for s in scenes], -FAR)
    window = padded([s.solids.window for s in scenes])
    depths, whose = cast_layers(centre, surface, upper, lower, window, layer, 2 * size)  # (B, L, 2S, 2S)
    depth, on = depths.max(1)
    which = whose.gather(1, on[:, None])[:, 0]

    around = paint_surroundings([s.surroundings for s in scenes], size)
    table = torch.cat(
        [
            centre,
            padded([s.forms for s in scenes]),
            upper.flatten(2),
            padded([s.solids.dark for s in scenes]),
            padded([s.colours for s in scenes]),
            padded([s.style for s in scenes]),
        ],
        dim=2,
    )
    whole = np.stack([np.concatenate([s.frame, s.glass, s.light, s.waves.ravel()]) for s in scenes])
    shaded = _shade(depth, which, table, torch.from_numpy(whole).float())
    occluded = around[2] > 0.5  # (B, 1, S, S)
    mask = _half(which >= 0) & ~occluded[:, 0]
    reached = depths[:, FIRST_PART:]
    seen = _half((reached != NOTHING) & (reached >= depths[:, BODY : BODY + 1]))
    outlines = seen & ~occluded  # (B, 7, S, S)
    hands = torch.from_numpy(np.stack([s.hands for s in scenes])).float()
    return {
        "image": photographs(scenes, *shaded, *around),
        "parts": _bits(outlines),
        "noisy_parts": _bits(redraw(outlines, hands)),
        "mask": mask.to(torch.uint8).mul(255).numpy(),
        "keypoints": visible(scenes, depth.numpy(), mask.numpy()),
        "box": tight_boxes(mask.numpy()),
    }


def _shade(depth: Tensor, which: Tensor, table: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
    """Aircraft colours (B, 3, S, S), already weighted by cover, and the cover (B, 1, S, S) in 0..1.

    ``table`` (B, E, .) numbers of every solid, ``whole`` (B, .) numbers of every image.
    """
    hit, image, row, column = hits(which)
    entry = image * table.shape[1] + which.reshape(-1).index_select(0, hit)
    t = table.view(-1, table.shape[2]).t().contiguous().index_select(1, entry)  # (., hits)
    g = whole.t().contiguous().index_select(1, image)
    form, colours, style = t[3:12], t[12 + 4 * PLANES : 21 + 4 * PLANES], t[21 + 4 * PLANES :]
    frame, glass, light, waves = g[:12], g[12:22], g[22:27], g[27:]
    x, y, z = column + 0.5, row + 0.5, depth.reshape(-1).index_select(0, hit)

    dx, dy, dz = x - t[0], y - t[1], z - t[2]
    u = [form[3 * i] * dx + form[3 * i + 1] * dy + form[3 * i + 2] * dz for i in range(3)]
    normal = [form[j] * u[0] + form[3 + j] * u[1] + form[6 + j] * u[2] for j in range(3)]
    shadow = torch.zeros_like(dx)
    for i in range(PLANES):  # the surface is a plane's where that plane is the nearest bound
        g0, gx, gy = t[12 + 3 * i : 15 + 3 * i]
        cut_off = gx * dx + (gy * dy + g0) <= dz + 0.02
        for j, slope in enumerate((-gx, -gy, torch.ones_like(gx))):
            normal[j] = torch.where(cut_off, slope, normal[j])
        shadow = torch.where(cut_off, t[12 + 3 * PLANES + i], shadow)
    length = (normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]).sqrt().clamp(min=1e-12)
    facing = ((normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]) / length).clamp(min=0)

    own = [frame[3 * i] * x + frame[3 * i + 1] * y + frame[3 * i + 2] * z + frame[9 + i] for i in range(3)]
    noise = torch.zeros_like(dx)
    for w in range(NOISES):
        kx, ky, kz, phase = waves[4 * w : 4 * w + 4]
        noise = noise + wave(kx * own[0] + ky * own[1] + (kz * own[2] + phase))
    noise = noise / NOISES**0.5
    a, b, c, gain, rough, d, e, h, glazed, gloss, grain = style
    second = (0.5 + gain * (a * own[0] + b * own[2] + c + rough * noise)).clamp(0, 1)
    band = (0.5 + 80 * (h - (d * own[0] + own[2] + e).abs())).clamp(0, 1)
    pane = (wave(glass[2] * own[0] + glass[3]) > 0) & (own[0] > glass[4]) & (own[0] < glass[5])
    pane = pane & ((own[2] - glass[0]).abs() < glass[1])
    screen = ((own[2] - glass[6]).abs() < glass[7]) & (own[0] > glass[8]) & (own[0] < glass[9])
    clear = 1 - 0.8 * glazed * (pane | screen).float()
    shine = facing * facing
    shine = gloss * (shine * shine) * (shine * shine)
    bright = light[3] * (1 - 0.25 * normal[1] / length) + light[4] * facing  # the sky is brighter than the ground
    bright = bright * (1 - shadow) * (1 + grain * noise) * clear
    paints = []
    for i in range(3):
        paint = colours[i] + second * (colours[3 + i] - colours[i])
        paints.append((paint + band * (colours[6 + i] - paint)) * bright + shine)
    return pixels(hit, paints, which)


def _half(sampled: Tensor) -> Tensor:
    """(..., S, S) whether at least two of a pixel's four samples (..., 2S, 2S) are true."""
    q = [a.to(torch.uint8) for a in quarters(sampled)]
    return (q[0] + q[1]) + (q[2] + q[3]) >= 2


def _bits(outlines: Tensor) -> np.ndarray:
    """(B, S, S) uint8 bit field of parts from outlines (B, 7, S, S)."""
    bits = torch.zeros_like(outlines[:, 0], dtype=torch.uint8)
    for i, part in enumerate(PART_OF_OUTLINE):
        bits |= outlines[:, i].to(torch.uint8) << part
    return bits.numpy()
