"""Prediction in files: shards, going on after a stop, the journal, several at a time, folded norms."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coarseparts.cli import options
from coarseparts.data.exports import of_document
from coarseparts.data.formats.drawing import draw_parts
from coarseparts.data.formats.part_files import find_part_masks
from coarseparts.data.formats.registry import read_export
from coarseparts.data.images import MAX_PIXELS, allow, list_images, stem
from coarseparts.data.objects import grouped
from coarseparts.data.sample import Sample
from coarseparts.data.synthetic import birds
from coarseparts.inference.folder import predict_folder
from coarseparts.inference.model import Model
from coarseparts.inference.predict import predict_samples
from coarseparts.inference.tool_exports import ToolExport
from coarseparts.labels.schema import IGNORE
from coarseparts.system.problems import BadInput
from coarseparts.training.networks import build, resolve
from coarseparts.training.settings import settings

STYLES = ["keypoints", "mask", "box"]


def model_of(decoder: str = "stride1", seed: int = 0) -> Model:
    """Random weights and running statistics, without training."""
    torch.manual_seed(seed)
    chosen = resolve(settings(changes={"encoder": "resnet10", "decoder": decoder, "precision": "float32"}), "cpu")
    networks = build(birds.SCHEMA, chosen, STYLES)
    for network in (networks.part_model, networks.posterior, networks.theta_k):
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.normal_(module.running_mean, 0, 0.3)
                torch.nn.init.uniform_(module.running_var, 0.5, 2)
                torch.nn.init.normal_(module.weight, 1, 0.3)
                torch.nn.init.normal_(module.bias, 0, 0.3)
        network.eval()
    return Model(networks, birds.SCHEMA, chosen, STYLES, 32, {"to": "none", "margin": 0.0}, True)


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 photographs of three sizes."""
    folder = tmp_path_factory.mktemp("images")
    made = birds.render(20, size=48, seed=4)
    for i in range(20):
        picture = Image.fromarray(made["image"][i])
        picture.resize((48, 32 + 16 * (i % 3))).save(folder / f"bird {i:02d}.png")
    return folder


def maps_of(model: Model, samples: list[Sample], use_labels: bool = True) -> list[np.ndarray]:
    return [prediction.part_map() for prediction in predict_samples(model, samples, use_labels)]


def maps(out: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(out.glob("*.png")) if path.name[0] != "."}


@pytest.mark.parametrize("decoder", ["paper", "stride2", "stride1"])
def test_folded_norms_change_nothing_but_the_last_bits(decoder: str) -> None:
    plain = model_of(decoder)
    fast = plain.fast
    left = [m for m in fast.networks.part_model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = [m for m in plain.networks.part_model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not left and before, "every norm is folded, in the copy alone"
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        one, two = plain.networks.part_model(x), fast.networks.part_model(x)
    assert float((one - two).abs().max()) < 1e-4 * float(one.abs().max())


def test_samples_together_and_alone_get_the_same_parts(model: Model) -> None:
    made = birds.render(5, size=48, seed=9)
    samples = [
        Sample(
            f"{i}",
            made["image"][i][: 48 - 8 * (i % 2)],
            labels=({"mask": made["mask"][i][: 48 - 8 * (i % 2)]} if i in (1, 2) else {})
            | ({"keypoints": made["keypoints"][i]} if i in (2, 3) else {}),
        )
        for i in range(5)
    ]
    together = maps_of(model, samples)
    for sample, whole in zip(samples, together, strict=True):
        (alone,) = maps_of(model, [sample])
        assert whole.shape == sample.image.shape[:2] and np.mean(whole != alone) < 0.01
    bare = maps_of(model, samples, use_labels=False)
    assert np.array_equal(bare[0], together[0]) and not np.array_equal(bare[2], together[2])


def test_shards_make_the_same_files_as_one(model: Model, images: Path, tmp_path: Path) -> None:
    whole = predict_folder(model, images, tmp_path / "one")
    shares = [predict_folder(model, images, tmp_path / "three", shard=(i, 3)) for i in range(3)]
    assert whole.written == 20 and [s.written for s in shares] == [7, 7, 6]
    one, three = maps(tmp_path / "one"), maps(tmp_path / "three")
    assert one.keys() == three.keys() and len(one) == 20
    assert np.mean([np.mean(one[name] != three[name]) for name in one]) < 0.01
    again = predict_folder(model, images, tmp_path / "three", shard=(1, 2))
    assert (again.written, again.kept) == (0, 10), "another number of shards knows what all of them did"


def test_a_stopped_prediction_goes_on(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0

    def stop(done: int, total: int) -> None:
        nonlocal seen
        seen = done
        if done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("coarseparts.inference.folder.BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        predict_folder(model, images, tmp_path / "out", progress=stop)
    assert seen == 3
    journal = tmp_path / "out" / ".predicted-1-of-1.csv"
    with open(journal, "a") as file:
        file.write("torn,li")  # as a killed process leaves it
    done = predict_folder(model, images, tmp_path / "out")
    assert done.kept == 3 and done.written == 17 and len(maps(tmp_path / "out")) == 20
    done = predict_folder(model, images, tmp_path / "out")
    assert (done.kept, done.written) == (20, 0)


def test_what_has_changed_is_predicted_again(model: Model, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted(images.iterdir())[:4]:
        (folder / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "out"
    assert predict_folder(model, folder, out).written == 4
    os.utime(folder / "bird 01.png", (1, 1))
    (out / "bird 02.png").unlink()
    done = predict_folder(model, folder, out)
    assert (done.written, done.kept) == (2, 2)
    assert predict_folder(model_of(seed=1), folder, out).written == 4, "another model"
    assert predict_folder(model, folder, out, with_overlay=True).written == 4, "other files"


def test_coco_holds_what_was_there_before_too(model: Model, images: Path, tmp_path: Path) -> None:
    predict_folder(model, images, tmp_path / "out", shard=(0, 2))
    done = predict_folder(model, images, tmp_path / "out", coco=tmp_path / "all.json")
    assert (done.kept, done.written) == (10, 10)
    fresh = predict_folder(model, images, tmp_path / "other", coco=tmp_path / "fresh.json")
    assert fresh.written == 20
    both = [json.loads((tmp_path / name).read_text()) for name in ("all.json", "fresh.json")]
    assert [i["file_name"] for i in both[0]["images"]] == [i["file_name"] for i in both[1]["images"]]
    assert len(both[0]["images"]) == 20


def test_a_coco_file_that_is_somebodys_own_is_not_written_over(model: Model, images: Path, tmp_path: Path) -> None:
    own, out = tmp_path / "coarse.json", tmp_path / "out"
    own.write_text('{"images": [], "annotations": [], "categories": []}')
    with pytest.raises(BadInput, match=r"coarse\.json: was not written by predict --coco, .* named with --labels"):
        predict_folder(model, images, out, coco=own)
    assert own.read_text().startswith('{"images": []') and not out.exists()
    predict_folder(model, images, out, coco=tmp_path / "c.json")
    predict_folder(model, images, out, coco=tmp_path / "c.json")
    corrected = json.loads((tmp_path / "c.json").read_text())
    corrected["annotations"].pop()
    (tmp_path / "c.json").write_text(json.dumps(corrected))
    with pytest.raises(BadInput, match="or was changed since"):
        predict_folder(model, images, out, coco=tmp_path / "c.json")


def test_a_target_that_is_a_file_is_refused(model: Model, images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="file: is no folder"):
        predict_folder(model, images, tmp_path / "file")


def test_a_coco_target_that_is_no_file_is_told_before_anything_is_predicted(
    model: Model, images: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe: is no file; name a file"):
        predict_folder(model, images, tmp_path / "out", coco=tmp_path / "pipe")
    assert not (tmp_path / "out").exists()


def test_a_shard_is_read_from_the_option_or_from_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert options.shard("") == (0, 1) and options.shard("2/8") == (1, 8)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert options.shard("") == (3, 4)
    for wrong in ("2", "0/4", "5/4", "a/b", "1/-2", "1/0"):
        with pytest.raises(BadInput, match="--shard"):
            options.shard(wrong)


def test_predictions_with_overlays_are_read_again_as_part_masks(model: Model, images: Path, tmp_path: Path) -> None:
    nested = tmp_path / "images" / "deep"
    nested.mkdir(parents=True)
    for file in sorted(images.iterdir())[:2]:
        (nested / file.name).write_bytes(file.read_bytes())
    predict_folder(model, tmp_path / "images", tmp_path / "out", with_overlay=True)
    found, problems = find_part_masks(tmp_path / "out")
    assert sorted(found) == ["deep/bird 00", "deep/bird 01"] and not problems
    assert len(list((tmp_path / "out" / "deep").glob("*.overlay.png"))) == 2


def test_boxes_of_parts_reach_the_posterior(images: Path, tmp_path: Path) -> None:
    """With the part's own likelihood multiplied in, a part hardly leaves its box."""
    torch.manual_seed(0)
    chosen = resolve(settings(changes={"encoder": "resnet10", "precision": "float32"}), "cpu")
    networks = build(birds.SCHEMA, chosen, ["part_boxes"])
    for network in (networks.part_model, networks.posterior, networks.theta_k):
        network.eval()
    torch.nn.init.constant_(networks.posterior.decoder.head.bias, 0)
    crop = {"to": "none", "margin": 0.0}
    model = Model(networks, birds.SCHEMA, chosen, ["part_boxes"], 32, crop, True)
    said = {
        "images": [{"id": 1, "file_name": "bird 01.png", "width": 48, "height": 48}],
        "categories": [{"id": i, "name": part} for i, part in enumerate(birds.SCHEMA.parts)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [8, 8, 16, 16]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(said))
    done = predict_folder(model, images / "bird 01.png", tmp_path / "with", {"part_boxes": tmp_path / "boxes.json"})
    predict_folder(model, images / "bird 01.png", tmp_path / "without")
    inside, anywhere = maps(tmp_path / "with")["bird 01.png"], maps(tmp_path / "without")["bird 01.png"]
    own = np.zeros((48, 48), bool)
    own[7:25, 7:25] = True
    assert done.written == 1 and not (inside[~own] == 3).any() and (anywhere[~own] > 0).any()
    assert set(np.unique(inside)) <= {0, 3}, "the other parts cannot be seen"
    with pytest.raises(BadInput, match="the file of --labels part_boxes and would be overwritten"):
        boxes = tmp_path / "boxes.json"
        predict_folder(model, images, tmp_path / "o", {"part_boxes": boxes}, coco=boxes)


def test_masks_drawn_or_corrected_by_hand_are_not_overwritten(model: Model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(model, images, out)
    corrected, drawn = out / "bird 03.png", out / "bird 04.png"
    with Image.open(corrected) as picture:
        pixels = np.asarray(picture).copy()
    pixels[:4] = 1
    Image.fromarray(pixels).save(corrected)
    Image.new("L", (48, 48)).save(drawn)
    kept = {path: path.read_bytes() for path in (corrected, drawn)}
    assert predict_folder(model, images, out).kept == 20, "the same again leaves them as they are"
    with pytest.raises(BadInput) as bad:
        predict_folder(model_of(seed=1), images, out)
    assert [p.file for p in bad.value.problems] == [str(corrected), str(drawn)]
    assert {path: path.read_bytes() for path in kept} == kept
    for path in kept:
        path.unlink()
    assert predict_folder(model_of(seed=1), images, out, with_overlay=True).written == 20, "its own are replaced"


def test_part_maps_are_not_put_among_the_photographs(model: Model, images: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is in the folder of the images"):
        predict_folder(model, images, images / "parts")
    assert not (images / "parts").exists()


def test_odd_names_and_broken_links_do_not_stop_the_others(model: Model, images: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "photographs", tmp_path / "out"
    folder.mkdir()
    one = (images / "bird 00.png").read_bytes()
    odd = os.fsdecode(b"a\xe9.png")  # Latin-1
    for name in ("b.png", odd):
        (folder / name).write_bytes(one)
    (folder / "c.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "d.jpg").write_bytes(b"no image")
    with pytest.raises(BadInput) as bad:
        predict_folder(model, folder, out)
    assert [Path(p.file).name for p in bad.value.problems] == ["c.png", "d.jpg", "photographs"], "all at once"
    done = predict_folder(model, folder, out, skip_bad=True, coco=tmp_path / "c.json")
    assert (done.written, done.left_out) == (2, 2)
    assert predict_folder(model, folder, out, skip_bad=True).kept == 2
    assert [i["file_name"] for i in json.loads((tmp_path / "c.json").read_text())["images"]] == [odd, "b.png"]


def test_a_damaged_part_map_is_named(model: Model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_folder(model, images, out)
    (out / "bird 05.png").write_bytes((out / "bird 05.png").read_bytes()[:90])
    with pytest.raises(BadInput, match=r"bird 05\.png: cannot be read .*delete it and run the same command again"):
        predict_folder(model, images, out, coco=tmp_path / "c.json")


def test_labels_of_other_images_are_refused(model: Model, images: Path, tmp_path: Path) -> None:
    category = {"id": 1, "name": "bird", "keypoints": list(birds.SCHEMA.keypoints)}
    image = {"id": 1, "file_name": "elsewhere.png", "width": 48, "height": 48}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 20, 20]}
    file = tmp_path / "coarse.json"
    file.write_text(json.dumps({"images": [image], "annotations": [box], "categories": [category]}))
    with pytest.raises(BadInput, match=r"coarse\.json: names none of the 20 images"):
        predict_folder(model, images, tmp_path / "out", labels=file)


def test_a_photograph_that_is_read_at_a_reduced_size_gets_parts_at_its_own(model: Model, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    made = birds.render(1, size=96, seed=4)
    Image.fromarray(made["image"][0]).save(tmp_path / "scans" / "a.jpg")
    (tmp_path / "scans" / "b.nef").write_bytes(b"raw")
    allow(50 * 50)
    try:
        done = predict_folder(model, tmp_path / "scans", tmp_path / "out", with_overlay=True)
        again = predict_folder(model, tmp_path / "scans", tmp_path / "out", with_overlay=True)
    finally:
        allow(MAX_PIXELS)
    assert (done.written, done.left_out, again.kept) == (1, 0, 1)
    assert np.asarray(Image.open(tmp_path / "out" / "a.png")).shape == (96, 96)
    told = [str(problem) for problem in done.problems]
    assert any("was read at 48x48" in line for line in told) and any("passed over: 1 .nef" in line for line in told)


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via"])
def test_what_is_exported_for_a_tool_comes_back_as_the_part_masks_that_were_predicted(
    model: Model, images: Path, tmp_path: Path, name: str
) -> None:
    done = predict_folder(model, images, tmp_path / "out", export=name)
    assert done.export is not None and done.export.exists()
    again = read_export(done.export)
    names = [file for file, _ in list_images(images)]
    found = of_document(done.export, again, model.schema.parts, names, grouped)
    assert not [p for p in found.problems if p.severity == "error"] and not found.objects
    if name in ("coco", "labelme"):  # beside each mask
        files = done.export.rglob("*.json") if done.export.is_dir() else [done.export]
        text = "".join(file.read_text() for file in files)
        scores = [float(score) for score in re.findall(r'"score": ([0-9.]+)', text)]
        assert scores and all(0.1 < score <= 1 for score in scores)
    seen = 0
    for one in found.whole:
        parts = np.asarray(Image.open(tmp_path / "out" / f"{stem(one.image)}.png"))
        assert np.array_equal(draw_parts(one.part_segments, parts.shape[::-1], model.schema.maps), parts)
        seen += 1
    assert seen == sum(bool(parts.any()) for parts in maps(tmp_path / "out").values())


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via"])
def test_an_export_tells_the_objects_of_an_image_apart(model: Model, tmp_path: Path, name: str) -> None:
    made, boxes = birds.render(2, size=48, seed=4)["image"], [(0, 0, 48, 48), (48, 0, 48, 48)]
    Image.fromarray(np.hstack(made)).save(tmp_path / "two.png")
    coco = {
        "images": [{"id": 1, "file_name": "two.png", "width": 96, "height": 48}],
        "categories": [{"id": 1, "name": "bird"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 1, "bbox": box} for i, box in enumerate(boxes)],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(coco))
    of_objects = replace(model, crop={"to": "object", "margin": 0.0})
    for _ in range(2):  # the second time from what the first one left
        done = predict_folder(of_objects, tmp_path / "two.png", tmp_path / "out", tmp_path / "boxes.json", export=name)
    found = of_document(done.export, read_export(done.export), model.schema.parts, ["two.png"], grouped)
    assert not [p for p in found.problems if p.severity == "error"] and len(found.objects) == 2
    parts = np.asarray(Image.open(tmp_path / "out" / "two.png"))
    for one, left in zip(found.objects, (0, 48), strict=True):
        own = [segment for segment in one.part_segments if segment.index != IGNORE]
        drawn = draw_parts(own, (96, 48), model.schema.maps)
        assert np.array_equal(drawn[:, left : left + 48], parts[:, left : left + 48])
        assert parts[:, left : left + 48].any() and np.count_nonzero(drawn) == np.count_nonzero(
            parts[:, left : left + 48]
        )


def contents(export: Path) -> dict[str, bytes]:
    files = [export] if export.is_file() else [file for file in export.rglob("*") if file.is_file()]
    return {str(file.relative_to(export)): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "label-studio", "via", "yolo"])
def test_an_export_is_replaced_by_a_later_one_unless_somebody_changed_it(
    model: Model, images: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    there = predict_folder(model, images, out, export=name).export
    whole = contents(there)
    first = list_images(images)[0][1]
    first.rename(images / "moved.png")
    (images / "moved.png").rename(tmp_path / "aside.png")
    assert predict_folder(model, images, out, export=name).export == there
    fewer = contents(there)
    assert fewer != whole and fewer.keys() <= whole.keys()
    if there.is_dir():  # what a person puts beside it stays
        (there / "notes.txt").write_text("mine")
    (tmp_path / "aside.png").rename(first)
    predict_folder(model, images, out, export=name)
    assert {file: text for file, text in contents(there).items() if file != "notes.txt"} == whole
    assert not there.is_dir() or (there / "notes.txt").read_text() == "mine"
    changed = there / sorted(whole)[0]
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(BadInput, match="was changed since it was written"):
        predict_folder(model, images, out, export=name)
    assert changed.read_bytes() == whole[sorted(whole)[0]] + b" "
    assert not list(out.glob(".*draft*"))


def test_an_export_is_not_written_over_what_is_not_its_own(model: Model, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    there = predict_folder(model, images, out, export="labelme").export
    new = images / "brand new.png"
    new.write_bytes(list_images(images)[0][1].read_bytes())
    (there / "brand new.json").write_text("{}")
    before = contents(there)
    with pytest.raises(BadInput, match=r"brand new\.json: is there, was not written by predict"):
        predict_folder(model, images, out, export="labelme")
    assert contents(there) == before
    new.unlink()
    (out / ".exported-labelme.json").write_text('{"../../escaped.json": []}')
    with pytest.raises(BadInput, match="is there and would be written over"):
        predict_folder(model, images, out, export="labelme")
    assert contents(there) == before


def test_an_export_that_was_stopped_while_it_was_replaced_is_replaced_the_next_time(
    model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    there = predict_folder(model, images, out, export="labelme").export
    whole, first = contents(there), list_images(images)[0]
    first[1].rename(images / "z renamed.png")

    def stopped(self: ToolExport, made: dict[str, str]) -> None:
        os.replace(self._draft / "z renamed.json", self.path / "z renamed.json")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(ToolExport, "_replace", stopped)
        predict_folder(model, images, out, export="labelme")
    assert (there / "z renamed.json").is_file() and len(contents(there)) == len(whole) + 1
    predict_folder(model, images, out, export="labelme")
    assert contents(there).keys() == whole.keys() - {f"{stem(first[0])}.json"} | {"z renamed.json"}


def test_an_export_for_no_tool_is_refused_before_anything_is_predicted(
    model: Model, images: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="did you mean 'cvat'"):
        predict_folder(model, images, tmp_path / "out", export="cvta")
    assert not (tmp_path / "out").exists()
