"""The benchmarks at a tiny size: what they compare is the same computation, and what they measure is there."""

from __future__ import annotations

import importlib
import json
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from toy import toy_store

from coarseparts.baselines.point_sup import propose
from coarseparts.data.batches import Feed
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.labels import ExclusiveParts
from coarseparts.networks.decoder import PaperDecoder, upsample
from coarseparts.training.settings import settings

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def em_step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("em_step")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("memory")


@pytest.mark.parametrize("careful", [False, True])
def test_a_transcription_of_algorithm_1_has_the_same_losses_and_ends_with_the_same_weights(
    em_step: ModuleType, careful: bool
) -> None:
    changes = {"weights": "random", "encoder": "resnet10", "batch": 3, "labelled_batch": 2}
    chosen = settings("paper", changes)
    batch, labelled = em_step.images(3, 64), em_step.images(2, 64, first=3)
    # One keypoint is hidden: drawn at half height for the posterior, and left out of the loss.
    visible = (batch.labels["keypoints"][0, :, 2] == 2).nonzero()[0, 0]
    batch.labels["keypoints"][0, visible, 2] = 1
    (ours, optimizers), plain = em_step.sides(chosen, labelled, warm_up_steps=2, careful=careful)
    before = [p.detach().clone() for p in plain.posterior.parameters()]
    steps = {
        "plain": lambda: em_step.plain_step(plain, batch, labelled),
        "coarseparts": lambda: em_step.em.em_step(
            ours, optimizers, em_step.channels_last(batch), em_step.channels_last(labelled), chosen.em
        ),
    }
    measured = em_step.measure(steps, repetitions=1)
    gap, where = em_step.largest_difference(measured, steps=1)
    assert gap < 2e-5, where
    gap, where = em_step.largest_difference(measured)  # of weights that went apart by a rounding, processors differ
    assert gap < 1e-3, where
    assert len(measured["plain"].losses) == 2 and set(measured["plain"].losses[0]) == {
        "e/agreement", "e/keypoints", "e/mask", "e/entropy", "m/labelled", "m/coarse", "l/keypoints",
    }  # fmt: skip
    pairs = (
        (ours.part_model, plain.part_model),
        (ours.posterior, plain.posterior),
        (ours.styles["keypoints"].model, plain.keypoint_model),
    )
    for own, other in pairs:
        for p, q in zip(own.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-3)
    moved = zip(before, plain.posterior.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved), "the E-step moved the posterior"


def test_a_difference_in_one_loss_is_found_and_named(em_step: ModuleType) -> None:
    plain = em_step.Measured([1.0], [{"a": 1.0, "b": -2.0}, {"a": 1.0, "b": 4.0}])
    ours = em_step.Measured([1.0], [{"a": 1.0, "b": -2.0}, {"a": 1.0, "b": 4.4}])
    gap, where = em_step.largest_difference({"plain": plain, "coarseparts": ours})
    assert gap == pytest.approx(0.1) and where == "b in step 2"
    ours.losses[0]["a"] = float("nan")
    assert em_step.largest_difference({"plain": plain, "coarseparts": ours})[0] == float("inf")


@pytest.mark.parametrize("stride", [1, 4])
def test_the_decoder_convolves_before_it_upsamples_and_computes_what_is_printed(stride: int) -> None:
    torch.manual_seed(0)
    decoder = PaperDecoder([0, 0, 0, 8], 3, stride)
    decoder.head = nn.Conv2d(decoder.head.in_channels, 3, 1)
    x = torch.randn(2, 8, 4, 4, requires_grad=True)
    out = decoder([x])
    printed = x
    for block in decoder.blocks:
        printed = upsample(block(printed))
    printed = decoder.head(printed)
    assert out.shape == (2, 3, 64 // stride, 64 // stride)
    torch.testing.assert_close(out, printed, atol=1e-5, rtol=1e-5)
    weight = torch.rand_like(out)
    gradients = (torch.autograd.grad((o * weight).sum(), (x, *decoder.parameters())) for o in (out, printed))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    decoder.as_printed = True
    torch.testing.assert_close(decoder([x]), printed, atol=1e-6, rtol=1e-6)


def test_the_peak_is_of_memory_that_was_held_and_given_back(memory: ModuleType) -> None:
    with memory.PeakMemory(interval=0.001) as measured:
        before = memory.anonymous_bytes()
        held = mmap.mmap(-1, 64 * memory.MIB, flags=mmap.MAP_PRIVATE)  # not what malloc kept of earlier tests
        np.frombuffer(held, np.uint8).fill(1)
        assert memory.anonymous_bytes() - before > 60 * memory.MIB
        while measured.peak < before + 60 * memory.MIB:
            pass  # the thread sees it in its next round
        held.close()
    assert measured.peak - before > 60 * memory.MIB
    assert memory.growth([{"a": 100.0}, {"a": 104.0}], "a") == pytest.approx(4.0)


def test_memory_is_measured_over_a_whole_pass_of_a_store_on_disk(
    memory: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory.write_store(tmp_path / "store", 2 * memory.LABELLED + 6, 32)
    store = Store.open(tmp_path / "store")
    assert len(store.rows("train", has="parts")) == memory.LABELLED == len(store.rows("val", has="parts"))
    arguments = ["--measure", str(tmp_path / "store"), "--steps", "1", "--batch", "2"]
    assert memory.main(arguments) == 0
    peaks = json.loads(capsys.readouterr().out)
    assert 50 * memory.MIB < peaks["anonymous"] < peaks["after_all"]
    assert peaks["after_steps"] <= peaks["after_all"]


def test_a_keypoint_counts_where_its_part_is_painted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    birds_hits = importlib.import_module("birds_hits")
    store = toy_store(tmp_path / "store")
    rows, schema = store.rows("train"), store.schema
    feed = Feed(store, rows, 8, 0)
    parts = propose(feed.plain(), len(schema.keypoints), ExclusiveParts(len(schema.parts)))

    def truth(batch: Batch) -> torch.Tensor:
        return nn.functional.one_hot(batch.parts.long().clamp(max=schema.channels - 1), schema.channels).movedim(-1, 1)

    right, painted, _ = birds_hits.hits(truth, feed, parts)
    assert 60 < right <= 100, "true parts hold their keypoints"
    assert painted == pytest.approx(100 * float((store.parts[rows] > 0).mean()))
    nothing = birds_hits.hits(
        lambda b: torch.eye(schema.channels)[torch.zeros_like(b.parts).long()].movedim(-1, 1), feed, parts
    )
    assert nothing == (0, 0, 100)


def test_preparing_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = importlib.import_module("prepare")
    assert module.main(["--images", "6", "--birds", "0.5", "--target", "0"]) == 0
    said = capsys.readouterr().out
    assert "6 photographs of PASCAL, 6 of CUB, 500x375" in said and "again" in said


@pytest.mark.parametrize(
    ("name", "arguments", "rows"),
    [
        ("throughput", "--preset default --encoder resnet10 --size 32 --batch 2 --labelled 1 --repetitions 1", 6),
        ("inference", "--encoder resnet10 --size 32 --batch 2 --images 3 --repetitions 1 --target 0", 7),
        ("data", "--images 4 --size 32 --batch 2 --rounds 1 --target 0", 2),
    ],
)
def test_rates_are_measured(
    name: str, arguments: str, rows: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    assert importlib.import_module(name).main(arguments.split()) == 0
    rates = [float(n) for n in re.findall(r"([\d.]+) images/s", capsys.readouterr().out)]
    assert len(rates) == rows and min(rates) > 0


def test_the_whole_recipe_has_as_many_images_as_the_papers() -> None:
    sources = load_dataset_file(BENCHMARKS / "recipe.yaml").sources
    assert [s.count for s in sources] == [271, 5994, 132] and [s.split for s in sources] == ["train", "train", "val"]


def test_the_gpu_script_runs_to_its_end_at_toy_size_without_a_gpu(tmp_path: Path) -> None:
    given = {**os.environ, "OUT": str(tmp_path), "PYTHON": sys.executable}
    done = subprocess.run([BENCHMARKS / "gpu.sh", "--toy"], env=given, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "step of EM" in (tmp_path / "throughput_gpu.log").read_text()
    rows = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    assert rows[-1]["stage"] == "end" and 0 <= rows[-1]["test"]["kept"] <= 100
