"""The packed store: every sample of a data set, cropped and resized once, as a few arrays on disk.

A store is a folder with one ``.npy`` file per array and ``store.json`` (schema, size, names). The arrays are
memory-mapped, so memory does not grow with the number of images, and a batch is an index away. Views (``subset``,
``labels_limited``, ``without_parts``) share the arrays and cost nothing. ``data.build`` makes a store from a data set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coarseparts.data.sample import Batch, no_parts
from coarseparts.data.store_files import LABELS, Writer, layout, read_meta
from coarseparts.labels import STYLES
from coarseparts.labels.schema import IGNORE, Schema

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Store:
    """N samples of S x S pixels with whatever labels each has; coordinates as in ``data.sample``, at store size.

    ``names``, ``splits``, ``sources``: a string per row. ``present``: (N,) bool for each of LABELS. ``styles``: whose
    labels a batch has, in the order of STYLES. The arrays are
    properties: of a whole store they are the memory maps themselves, of a view they are copies of its rows, so ask a
    large view for ``batch`` instead. ``key``: 24 hexadecimal digits that name what a store on disk holds, the same
    wherever and whenever it was written ("" of a store in memory; a view has that of the whole).
    """

    schema: Schema
    size: int
    names: list[str]
    splits: list[str]
    sources: list[str]
    styles: tuple[str, ...]
    present: dict[str, np.ndarray]
    _arrays: Mapping[str, np.ndarray] = field(repr=False)
    _rows: np.ndarray | None = field(default=None, repr=False)  # None: all rows of the arrays, in order
    _labelled_as: np.ndarray | None = field(default=None, repr=False)  # rows that coarse labels are of; None: _rows
    key: str = ""

    @classmethod
    def from_arrays(
        cls,
        schema: Schema,
        image: np.ndarray,
        parts: np.ndarray | None = None,
        *,
        names: Sequence[str] | None = None,
        splits: str | Sequence[str] = "train",
        sources: str | Sequence[str] = "arrays",
        present: Mapping[str, np.ndarray] | None = None,
        **labels: np.ndarray | None,
    ) -> Store:
        """A store in memory. ``image`` (N, S, S, 3) uint8, ``parts`` (N, S, S) uint8, ``labels``: (N, ...) by style,
        a row as ``LabelStyle.layout`` says.

        ``present`` says which rows have a label ((N,) bool by name). Without it a row has parts unless all of it is
        255, and a coarse label that was given as ``LabelStyle.labelled`` says. Raises ValueError for a wrong shape or
        type, TypeError for a style that does not exist.
        """
        image = np.asarray(image)
        if image.ndim != 4 or image.shape[1] != image.shape[2] or image.shape[3] != 3:
            raise ValueError(f"image has shape {image.shape}; expected square colour images (N, S, S, 3)")
        n, size = image.shape[:2]
        if strange := labels.keys() - STYLES.keys():
            raise TypeError(f"there is no label style {sorted(strange)[0]!r}; expected some of {list(STYLES)}")
        given = {"image": image, "parts": parts} | labels
        arrays: dict[str, np.ndarray] = {}
        styles = tuple(style for style in STYLES if labels.get(style) is not None)
        for name, (dtype, shape) in layout(size, schema, styles).items():
            value = given.get(name)
            if value is None:
                arrays[name] = np.full((n, *shape), IGNORE if name == "parts" else 0, dtype)
                continue
            value = np.asarray(value)
            if value.shape != (n, *shape):
                raise ValueError(f"{name} has shape {value.shape}; expected {(n, *shape)} beside these images")
            if dtype == np.uint8 and value.dtype != np.uint8:
                raise ValueError(f"{name} is {value.dtype}; expected uint8 (masks: 0..255), convert it first")
            arrays[name] = np.ascontiguousarray(value, dtype)
        arrays["crops"][:] = (0, 0, size, size)
        arrays["native"][:] = size
        there = {"parts": (arrays["parts"] != IGNORE).any((1, 2))}
        for name, style in STYLES.items():
            there[name] = np.zeros(n, bool) if labels.get(name) is None else style.labelled(arrays[name])
        for name, rows in (present or {}).items():
            if name not in there or np.shape(rows) != (n,):
                raise ValueError(f"present[{name!r}] of shape {np.shape(rows)}; expected ({n},) bool for {LABELS}")
            there[name] = np.asarray(rows, bool)
        for name, rows in there.items():
            if name in arrays and not rows.all():
                # An absent label is blank, whatever was given there; the caller's array is not touched.
                arrays[name] = arrays[name].copy()
                arrays[name][~rows] = _blank(name)
        texts = (
            _one_per_row(names if names is not None else [f"{i:06d}" for i in range(n)], n, "names"),
            _one_per_row(splits, n, "splits"),
            _one_per_row(sources, n, "sources"),
        )
        return cls(schema, size, *texts, styles, there, arrays)

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """The store in ``folder``, memory-mapped for reading. Raises FileNotFoundError or ValueError, saying which
        folder is no store, which file of it is damaged, or that it is of another version."""
        folder = Path(folder)
        if not os.path.isfile(folder / "store.json"):
            raise FileNotFoundError(f"{folder}: no store.json there; expected the folder of a packed store")
        schema, size, styles, texts, key = read_meta(folder)
        n, remedy = len(texts[0]), f"delete the store folder {folder}, it is made anew"
        arrays = {}
        for name, (dtype, shape) in layout(size, schema, styles).items():
            try:
                array = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            except (OSError, EOFError, ValueError) as error:
                raise ValueError(f"{folder / name}.npy: cannot be read ({error}); {remedy}") from None
            if array.shape != (n, *shape) or array.dtype != dtype:
                came = f"{array.shape} {array.dtype}, expected {(n, *shape)} {dtype}"
                raise ValueError(f"{folder / name}.npy: {came}; {remedy}")
            arrays[name] = array
        present = {label: np.zeros(n, bool) for label in LABELS}
        present |= {label: np.array(arrays["present"][:, i]) for i, label in enumerate(("parts", *styles))}
        return cls(schema, size, *texts, tuple(styles), present, arrays, key=key)

    def save(self, folder: str | Path) -> None:
        """Write the rows of this store or view to ``folder``: beside it first, then moved there in one step. A store
        that lies there already is replaced. Raises FileExistsError if something else does."""
        stored = [style for style in STYLES if style in self._arrays]
        with Writer(Path(folder), self.schema, self.size, stored) as writer:
            for start in range(0, len(self), 64):
                rows = np.arange(start, min(start + 64, len(self)))
                arrays = {name: self._get(name, rows) for name in self._arrays}
                arrays["present"] = np.stack([self.present[label][rows] for label in ("parts", *stored)], 1)
                writer.append(arrays, *([t[i] for i in rows] for t in (self.names, self.splits, self.sources)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def image(self) -> np.ndarray:
        """(N, S, S, 3) uint8 RGB."""
        return self._get("image")

    @property
    def parts(self) -> np.ndarray:
        """(N, S, S) uint8 part index; 255 = ignore, all over where a row has no part mask."""
        return self._get("parts")

    def label(self, style: str) -> np.ndarray:
        """(N, ...) the labels of a coarse style, a row as ``LabelStyle.layout`` says, in pixels of the store's size; 0
        where a row has none."""
        return self._get(style)

    @property
    def crops(self) -> np.ndarray:
        """(N, 4) float32: the region of the original image that each row shows, in that image's pixels."""
        return self._get("crops")

    @property
    def native(self) -> np.ndarray:
        """(N, 2) int32 (width, height) of the original image."""
        return self._get("native")

    def rows(self, split: str | None = None, has: str | None = None) -> np.ndarray:
        """int64 indices of the rows of one split and with one of LABELS."""
        chosen = np.ones(len(self), bool)
        if split is not None:
            chosen &= np.array([s == split for s in self.splits], bool)
        if has is not None:
            if has not in self.present:
                raise ValueError(f"has={has!r}: expected one of {LABELS}")
            chosen &= self.present[has]
        return np.flatnonzero(chosen).astype(np.int64)

    def batch(self, rows: Iterable[int] | np.ndarray | torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        """The given rows (any order, repeats allowed) as a raw ``Batch``: bytes as stored, not augmented or
        normalised. ``index`` holds the rows as counted in this store or view."""
        import torch  # here, for it takes seconds, and whoever makes a store does without it

        rows = _indices(rows.cpu().numpy() if isinstance(rows, torch.Tensor) else rows)
        get = {name: torch.from_numpy(self._get(name, rows)) for name in ("image", *self.styles)}
        shape = len(rows), self.size, self.size
        labelled = self.present["parts"][rows].any()
        batch = Batch(
            image=get["image"].permute(0, 3, 1, 2).contiguous(),  # (B, 3, S, S)
            parts=torch.from_numpy(self._get("parts", rows)) if labelled else no_parts(shape),
            labels={name: STYLES[name].stacked(get[name]) for name in self.styles},
            present={label: torch.from_numpy(self.present[label][rows]) for label in LABELS},
            index=torch.from_numpy(rows.copy()),
        )
        return batch if torch.device(device).type == "cpu" else batch.to(device)

    def subset(self, rows: Iterable[int] | np.ndarray) -> Store:
        """A view of some rows, in the order given."""
        rows = _indices(rows)
        names, splits, sources = ([t[i] for i in rows] for t in (self.names, self.splits, self.sources))
        present = {label: there[rows] for label, there in self.present.items()}
        labelled_as = None if self._labelled_as is None else self._labelled_as[rows]
        return replace(
            self,
            names=names,
            splits=splits,
            sources=sources,
            present=present,
            _rows=self._origin[rows],
            _labelled_as=labelled_as,
        )

    def labels_limited(self, styles: Iterable[str]) -> Store:
        """A view in which only these coarse styles are present, and that has all of them, if no label of some; part
        masks stay. Raises ValueError for an unknown style."""
        styles = set(styles)
        if not styles <= STYLES.keys():
            raise ValueError(f"unknown label styles {sorted(styles - STYLES.keys())}; expected some of {list(STYLES)}")
        hidden = self._hide({style: np.arange(len(self)) for style in STYLES if style not in styles})
        return replace(hidden, styles=tuple(style for style in STYLES if style in styles))

    def without_parts(self, rows: Iterable[int] | np.ndarray | None = None) -> Store:
        """A view in which these rows (all of them by default) have no part mask, so that they count as coarse."""
        return self._hide({"parts": _indices(range(len(self)) if rows is None else rows)})

    def labels_swapped(self, rows: np.ndarray, seed: int) -> Store:
        """A view in which each of these rows has all the coarse labels of another of them, drawn at random; a control.

        Images and part masks stay. Raises ValueError for a single row, which has nobody to swap with.
        """
        if len(rows) < 2:
            raise ValueError("swapping labels needs two images with coarse labels")
        order = np.random.default_rng(seed).permutation(rows)
        owner = np.arange(len(self), dtype=np.int64)
        owner[order] = np.roll(order, 1)  # along one circle: nobody keeps what is theirs
        present = {label: there if label == "parts" else there[owner] for label, there in self.present.items()}
        labelled_as = (self._origin if self._labelled_as is None else self._labelled_as)[owner]
        return replace(self, present=present, _rows=self._origin, _labelled_as=labelled_as)

    def labels_sampled(self, rows: np.ndarray, count: int, seed: int) -> Store:
        """A view in which each of these rows keeps ``count`` of its coarse labels, drawn at random, or all if it has
        fewer."""
        there = np.stack([self.present[style][rows] for style in STYLES], 1)
        drawn = np.where(there, np.random.default_rng(seed).random(there.shape), 2.0).argsort(1).argsort(1) < count
        return self._hide({style: rows[~drawn[:, i]] for i, style in enumerate(STYLES)})

    def in_memory(self) -> Store:
        """The same rows with their arrays in memory: it outlives the folder, and holds no row of no use to a view."""
        names, splits, sources = list(self.names), list(self.splits), list(self.sources)
        present = {label: there.copy() for label, there in self.present.items()}
        arrays = {name: self._get(name, np.arange(len(self))) for name in self._arrays}
        return Store(self.schema, self.size, names, splits, sources, self.styles, present, arrays)

    @property
    def _origin(self) -> np.ndarray:
        """Which rows of the arrays these are."""
        return np.arange(len(self), dtype=np.int64) if self._rows is None else self._rows

    def _hide(self, hidden: dict[str, np.ndarray]) -> Store:
        present = {label: there.copy() for label, there in self.present.items()}
        for label, rows in hidden.items():
            present[label][rows] = False
        return replace(self, present=present, _rows=self._origin)

    def _get(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """Rows of one array, always a copy unless all of a whole store is asked for; hidden labels are blanked."""
        if name not in self._arrays:
            dtype, shape = STYLES[name].layout(self.schema, self.size)
            return np.zeros((len(self) if rows is None else len(rows), *shape), dtype)
        array = self._arrays[name]
        if rows is None and self._rows is None:
            return array
        rows = np.arange(len(self)) if rows is None else rows
        # Fancy indexing reads just these rows from the map; asarray turns the memmap class into a plain array.
        origin = self._labelled_as if name in STYLES and self._labelled_as is not None else self._rows
        out = np.asarray(array[rows if origin is None else origin[rows]])
        if name in self.present:
            out[~self.present[name][rows]] = _blank(name)
        return out


def _indices(rows: Iterable[int] | np.ndarray) -> np.ndarray:
    return np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), np.int64)


def _blank(name: str) -> np.generic:
    """What stands where a row lacks a label."""
    return np.uint8(IGNORE) if name == "parts" else np.uint8(0)


def _one_per_row(values: str | Sequence[str], n: int, what: str) -> list[str]:
    values = [values] * n if isinstance(values, str) else [str(v) for v in values]
    if len(values) != n:
        raise ValueError(f"{len(values)} {what} for {n} images; give one each")
    return values
