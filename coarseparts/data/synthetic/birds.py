"""Synthetic birds: images with exact part masks, keypoints, figure-ground masks and boxes, from a seed.

Articulated birds of ellipsoids (``anatomy``) in random plumage (``plumage``) before and behind clutter
(``backgrounds``), seen by an orthographic camera from all around and cast ray by ray (``ellipsoids``). Parts are the
paper's ten, keypoints CUB-200-2011's fifteen, left and right the bird's own; the neck counts as torso.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from coarseparts.data.synthetic.anatomy import KEYPOINTS, PARTS, Bird, draw_bird
from coarseparts.data.synthetic.backgrounds import Backdrop, draw_backdrop, paint
from coarseparts.data.synthetic.ellipsoids import cast, quadric, wave
from coarseparts.data.synthetic.frames import hits, photographs, pixels, quarters, rendered, tight_boxes, view, visible
from coarseparts.data.synthetic.plumage import Plumage, dress
from coarseparts.labels.schema import Schema

SCHEMA = Schema(
    parts=PARTS,
    overlapping=False,
    mirror=(("left_eye", "right_eye"), ("left_leg", "right_leg"), ("left_wing", "right_wing")),
    keypoints=KEYPOINTS,
    keypoint_mirror=(("left eye", "right eye"), ("left leg", "right leg"), ("left wing", "right wing")),
)

NOISES = 9  # waves of the plumage: the first six make patches, the others feather texture
OWN_PART = {k: PARTS.index(k.replace(" ", "_")) + 1 for k in KEYPOINTS if k.replace(" ", "_") in PARTS}
TOLERANCE = 0.15
"""How deep under the visible surface a keypoint still counts as visible, in half trunk lengths."""


@dataclass
class Scene:
    """One image before it is drawn: geometry in samples of the 2x supersampled frame, and all random numbers.

    ``centre`` (E, 3), ``surface`` (E, 8), ``table`` (E, 32) what shading needs, ``part`` (E,), ``waves`` (NOISES, 4),
    ``points`` (15, 3) with NaN for keypoints that the bird lacks, ``tolerance`` in samples, ``lens``: blur, contrast,
    brightness, ``camera_noise`` (3, S, S).
    """

    centre: np.ndarray
    surface: np.ndarray
    table: np.ndarray
    part: np.ndarray
    waves: np.ndarray
    points: np.ndarray
    tolerance: float
    backdrop: Backdrop
    lens: np.ndarray
    camera_noise: np.ndarray


def render(count: int, size: int = 96, seed: int = 0, first: int = 0, chunk: int = 8) -> dict[str, np.ndarray]:
    """Draws birds number ``first`` to ``first + count - 1`` of the world that ``seed`` names.

    Image i depends on ``seed``, ``size`` and ``first + i`` alone (``size`` changes its resolution only): neither on
    ``count`` nor on ``chunk``, the number of images drawn at a time (bit for bit). Returns ``image`` (N, S, S, 3)
    uint8; ``parts`` (N, S, S) uint8, 0 background, else 1 + position in ``SCHEMA.parts``; ``mask`` (N, S, S) uint8,
    0 or 255, exactly where ``parts`` is not 0; ``keypoints`` (N, 15, 3) float32 (x, y, v) in pixels, v = 2 and within
    the mask or (0, 0, 0) where hidden; ``box`` (N, 4) float32 (x0, y0, x1, y1) tight around the mask. Raises
    ValueError for numbers that make no sense.
    """
    return rendered(_scene, _draw, ("parts", "mask"), len(KEYPOINTS), count, size, seed, first, chunk)


def _camera(rng: Generator) -> np.ndarray:
    """(3, 3) rotation from the bird's axes to (right, up, towards the viewer)."""
    side = rng.choice([-90.0, 90.0]) + rng.normal(0, 20)  # most photographs show a bird from its side
    azimuth = side if rng.random() < 0.85 else rng.uniform(0, 360)
    elevation, roll = rng.normal(8, 10), rng.normal(0, 7)
    return view(azimuth, np.clip(elevation, -35, 60), roll)


def _scene(rng: Generator, size: int) -> Scene:
    bird = draw_bird(rng)
    plumage = dress(bird, rng)
    to_image = _camera(rng) * np.array([[1.0], [-1.0], [1.0]])  # y runs down in images
    axes, semi = np.stack(bird.axes), np.stack(bird.semi)
    centre = np.stack(bird.centre) @ to_image.T
    forms = (axes / semi[:, None, :]).transpose(0, 2, 1) @ to_image.T  # camera space -> unit ball
    half = quadric(forms)[:, 6:8]
    low, high = (centre[:, :2] - half).min(0), (centre[:, :2] + half).max(0)

    samples = 2 * size
    scale = rng.uniform(0.88, 0.98) * samples / (high - low).max()
    shift = rng.uniform(0.01, 0.99, 2) * (samples - scale * (high - low)) - scale * low
    centre = scale * centre + np.array([*shift, 0.0])
    forms = forms / scale
    points = _keypoints(bird, centre, forms)

    light = np.array([rng.normal(0, 0.6), rng.normal(-0.7, 0.4), rng.uniform(0.2, 1.0)])
    light /= np.linalg.norm(light)
    perch = None if bird.feet is None else (scale * (to_image @ bird.feet)[:2] + shift) / samples
    backdrop = draw_backdrop(rng, plumage.palette, light, perch, occlude=rng.random() < 0.15)
    rate = np.exp(rng.uniform(np.log(0.25), np.log(0.9), NOISES))
    rate[6:] *= rng.uniform(3, 6)
    direction = rng.normal(size=(NOISES, 3))
    rate = rate / np.linalg.norm(direction, axis=1)
    waves = (rate[:, None] * direction) @ to_image.T / scale
    phase = rng.uniform(0, 1, NOISES) - waves[:, :2] @ shift

    surface = quadric(forms)
    order = np.argsort(-surface[:, 6] * surface[:, 7], kind="stable")  # large ones first: see `cast`
    return Scene(
        centre=centre[order],
        surface=surface[order],
        table=_table(centre, forms, plumage, light, rng)[order],
        part=np.array(bird.part)[order],
        waves=np.concatenate([waves, phase[:, None]], axis=1),
        points=points,
        tolerance=TOLERANCE * scale,
        backdrop=backdrop,
        lens=np.array([max(0.0, rng.uniform(-0.2, 0.2)), rng.uniform(0.85, 1.2), rng.normal(0, 0.04)]),
        # Last, because how many numbers it takes depends on the size: a bird is the same at any size.
        camera_noise=np.float32(rng.uniform(0.004, 0.02)) * rng.standard_normal((3, size, size), dtype=np.float32),
    )


def _table(centre: np.ndarray, forms: np.ndarray, plumage: Plumage, light: np.ndarray, rng: Generator) -> np.ndarray:
    """(E, 32) numbers that shade an ellipsoid: form, form @ centre, form @ light, two colours, pattern, light."""
    tint = rng.uniform(0.9, 1.05, 3)
    ambient = rng.uniform(0.35, 0.75)
    diffuse = 1.15 - ambient + rng.uniform(-0.1, 0.15)
    at = np.einsum("eij,ej->ei", forms, centre)
    lit = diffuse * np.einsum("eij,j->ei", forms, light)
    each = np.tile([ambient, 0.3 * ambient], (len(at), 1))
    first, change = tint * plumage.first, tint * (plumage.second - plumage.first)
    return np.concatenate([forms.reshape(-1, 9), at, lit, first, change, plumage.pattern, each], axis=1)


def _keypoints(bird: Bird, centre: np.ndarray, forms: np.ndarray) -> np.ndarray:
    """(15, 3) where an annotator would click: on the side of the named place that is turned to the viewer.

    A place within an ellipsoid (a wing, the tail) moves along the ray to its front surface; a place on the skin (the
    crown) slides a little towards the viewer over the skin.
    """
    points = np.full((len(KEYPOINTS), 3), np.nan)
    for name, (e, u, on_surface) in bird.anchors.items():
        ray = forms[e] @ np.array([0.0, 0.0, 1.0])
        if on_surface:
            u = u / np.linalg.norm(u) + 0.4 * ray / np.linalg.norm(ray)
            u = u / np.linalg.norm(u)
        else:
            along = u @ ray
            u = u + ray * (-along + np.sqrt(along**2 + (ray @ ray) * (1 - u @ u))) / (ray @ ray)
        points[KEYPOINTS.index(name)] = centre[e] + np.linalg.solve(forms[e], u)
    return points


def _draw(scenes: list[Scene], size: int) -> dict[str, np.ndarray]:
    """Draws a chunk of scenes; see ``render`` for what it returns."""
    slots = max(len(s.part) for s in scenes)

    def padded(name: str) -> Tensor:
        arrays = [getattr(s, name) for s in scenes]
        whole = np.zeros((len(scenes), slots, *arrays[0].shape[1:]))
        for row, array in zip(whole, arrays, strict=True):
            row[: len(array)] = array
        return torch.from_numpy(whole).float()

    surface = padded("surface")
    absent = torch.arange(slots) >= torch.tensor([len(s.part) for s in scenes])[:, None]
    surface[..., 2].masked_fill_(absent, -1.0)  # nothing under the root is positive: no ray hits
    depth, which = cast(padded("centre"), surface, 2 * size)
    rows = torch.arange(len(scenes))[:, None, None]
    part = padded("part").to(torch.uint8)
    sampled = torch.where(which >= 0, part[rows, which.clamp(min=0).long()], 0)  # (B, 2S, 2S)
    around = paint([s.backdrop for s in scenes], size)
    shaded = _shade(depth, which, padded("table"), torch.from_numpy(np.stack([s.waves for s in scenes])).float())
    parts = _majority(sampled).masked_fill(around[2][:, 0] > 0.5, 0)
    mask = parts > 0
    part_of_sample = sampled.numpy()

    def on_own(image: int, keypoint: int, row: int, column: int) -> bool:
        """Where a keypoint names a part it is on that part: an eye lies so close to the far side of a head that depth
        alone would not do."""
        return OWN_PART.get(KEYPOINTS[keypoint]) in (None, part_of_sample[image, row, column])

    return {
        "image": photographs(scenes, *shaded, *around),
        "parts": parts.numpy(),
        "mask": mask.to(torch.uint8).mul(255).numpy(),
        "keypoints": visible(scenes, depth.numpy(), mask.numpy(), on_own),
        "box": tight_boxes(mask.numpy()),
    }


def _shade(depth: Tensor, which: Tensor, table: Tensor, waves: Tensor) -> tuple[Tensor, Tensor]:
    """Bird colours (B, 3, S, S), already weighted by cover, and the cover (B, 1, S, S) in 0..1."""
    samples = depth.shape[1]
    middle = torch.stack(quarters(depth)).amax(0)  # (B, S, S)
    grid = torch.arange(samples // 2) * 2 + 1.0
    noises = []
    for group in (range(6), range(6, NOISES)):
        total = torch.zeros_like(middle)
        for w in group:
            kx, ky, kz, phase = (c[:, None, None] for c in waves[:, w].unbind(1))
            total = total + wave(kx * grid[None, None, :] + (ky * grid[None, :, None] + phase) + kz * middle)
        noises.append(total / (len(group) ** 0.5))
    hit, image, row, column = hits(which)
    pixel = (image * (samples // 2) + row // 2) * (samples // 2) + column // 2
    patches, texture = (n.view(-1).index_select(0, pixel) for n in noises)
    entry = image * table.shape[1] + which.view(-1).index_select(0, hit)
    t = table.view(-1, table.shape[2]).t().contiguous().index_select(1, entry)  # (32, hits)

    x, y, z = column + 0.5, row + 0.5, depth.view(-1).index_select(0, hit)
    u = [t[3 * i] * x + t[3 * i + 1] * y + t[3 * i + 2] * z - t[9 + i] for i in range(3)]
    normal = [t[j] * u[0] + t[3 + j] * u[1] + t[6 + j] * u[2] for j in range(3)]
    length = (normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]).sqrt()
    facing = ((t[12] * u[0] + t[13] * u[1] + t[14] * u[2]) / length).clamp(min=0)
    light = t[30] + facing - t[31] * normal[1] / length  # the sky is brighter than the ground
    noise, stripes, rate, phase, upness, offset, gain, feather, gloss = t[21:30].unbind(0)
    mix = noise * patches + stripes * wave(rate * u[0] + phase + 0.1 * texture) + upness * u[2] + offset
    mix = (0.5 + gain * mix).clamp(0, 1)
    light = light * (1 + feather * texture)
    shine = facing * facing
    shine = gloss * (shine * shine) * (shine * shine)
    return pixels(hit, [(t[15 + c] + mix * t[18 + c]) * light + shine for c in range(3)], which)


def _majority(sampled: Tensor) -> Tensor:
    """(B, S, S) the part that most of a pixel's four samples show; the first of them where they tie."""
    q = quarters(sampled)
    votes = torch.stack([torch.stack([(a == b) for b in q]).sum(0) for a in q])  # (4, B, S, S)
    best, most = q[0], votes[0]
    for candidate, count in zip(q[1:], votes[1:], strict=True):
        best, most = torch.where(count > most, candidate, best), torch.maximum(most, count)
    return best
