"""What preparations share: pieces made once, whole or not at all, and a dataset file that comes last."""

import json
import os
import shutil
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest

from coarseparts.data.prepare.output import MANIFEST, Item, Made, Output, write_file
from coarseparts.system.errors import Busy
from coarseparts.system.problems import BadInput, Problem

COUNT = 5


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(COUNT):
        (tmp_path / "in" / f"{i}.txt").write_text(f"number {i}")
    return sorted((tmp_path / "in").iterdir())


class Maker:
    """Items that copy files, and a list of those that were made."""

    def __init__(self, inputs, settings=None):
        self.made = []
        self.items = [Item(p.stem, (p,), lambda p=p: self.copy(p), settings) for p in inputs]

    def copy(self, path):
        self.made.append(path.stem)
        text = path.read_text()
        if "bad" in text:
            raise BadInput(Problem(str(path), text, "mend it"))
        notes = [Problem(str(path), "is odd", severity="note")] if "odd" in text else []
        return Made({f"copies/{path.name}": text.encode()}, {"letters": len(text)}, notes)


def run(folder, maker, progress=None):
    with Output(folder, "data.yaml", progress) as output:
        facts = output.make(maker.items)
        output.write("lists/all.txt", "\n".join(facts))
        return facts, output.finish(f"parts: {len(facts)}"), output.problems


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_everything_is_made_and_the_second_run_does_nothing(tmp_path, inputs):
    done = []
    facts, changed, problems = run(tmp_path / "out", Maker(inputs), lambda *at: done.append(at))
    assert changed and problems == [] and facts == {str(i): {"letters": 8} for i in range(COUNT)}
    assert done == [(i, COUNT) for i in range(1, COUNT + 1)]
    before = contents(tmp_path / "out")
    assert set(before) == {MANIFEST, "data.yaml", "lists/all.txt", *(f"copies/{i}.txt" for i in range(COUNT))}
    again = Maker(inputs)
    assert run(tmp_path / "out", again) == (facts, False, [])
    assert again.made == [] and contents(tmp_path / "out") == before


def test_what_changed_is_made_again_and_what_is_gone_is_removed(tmp_path, inputs):
    run(tmp_path / "out", Maker(inputs))
    inputs[1].write_text("odd")
    (tmp_path / "out" / "copies" / "3.txt").unlink()
    maker = Maker(inputs[:-1])
    facts, changed, problems = run(tmp_path / "out", maker)
    assert changed and sorted(maker.made) == ["1", "3"] and facts["1"] == {"letters": 3}
    assert [p.message for p in problems] == ["is odd"]
    assert not (tmp_path / "out" / "copies" / "4.txt").exists()
    assert [p.message for p in run(tmp_path / "out", Maker(inputs[:-1]))[2]] == ["is odd"], "told again"
    settings = Maker(inputs[:-1], {"margin": 20})
    run(tmp_path / "out", settings)
    assert len(settings.made) == 4


def test_all_problems_come_at_once_and_no_dataset_file(tmp_path, inputs):
    run(tmp_path / "out", Maker(inputs))
    for i in (0, 3):
        inputs[i].write_text("bad")
    with pytest.raises(BadInput) as bad:
        run(tmp_path / "out", Maker(inputs))
    assert [p.file for p in bad.value.problems] == [str(inputs[0]), str(inputs[3])]
    assert not (tmp_path / "out" / "data.yaml").exists()
    for i in (0, 3):
        inputs[i].write_text("good")
    maker = Maker(inputs)
    assert run(tmp_path / "out", maker)[1] and sorted(maker.made) == ["0", "3"]


def test_killed_in_the_middle_it_goes_on(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    child = os.fork()
    if child == 0:
        try:
            run(tmp_path / "out", Maker(inputs), lambda done, _: os._exit(9) if done == 2 else None)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    manifest = tmp_path / "out" / MANIFEST
    manifest.write_text(manifest.read_text() + '{"item": "2", "finge')  # killed while it wrote the next line
    assert not (tmp_path / "out" / "data.yaml").exists()
    maker = Maker(inputs)
    run(tmp_path / "out", maker)
    assert sorted(maker.made) == ["2", "3", "4"]
    run(tmp_path / "fresh", Maker(inputs))
    fresh, resumed = contents(tmp_path / "fresh"), contents(tmp_path / "out")
    assert fresh.pop(MANIFEST) and resumed.pop(MANIFEST) and fresh == resumed
    last = Maker(inputs)
    assert run(tmp_path / "out", last)[1] is False and last.made == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    assert write_file(tmp_path / "a" / "b.txt", b"one") and not write_file(tmp_path / "a" / "b.txt", b"one")

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(OSError):
            write_file(tmp_path / "a" / "b.txt", b"two")
    assert contents(tmp_path) == {"a/b.txt": b"one"}


def test_what_the_disk_refuses(tmp_path, inputs, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(BadInput, match=r"out: the disk is full; free some space"):
            run(tmp_path / "out", Maker(inputs))
    usage = namedtuple("usage", "total used free")
    maker = Maker(inputs)
    maker.items = [Item(i.name, i.inputs, i.make, room=1_000_000) for i in maker.items]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage(9, 9, 2_000_000))
        with pytest.raises(BadInput, match=r"2 MB are free, what is left to be written may take 5 MB"):
            run(tmp_path / "out", maker)
    assert maker.made == []


def test_folders_of_others_are_left_alone(tmp_path, inputs):
    with pytest.raises(BadInput, match=r"is not empty and was not made by a preparation: it holds 0\.txt"):
        run(inputs[0].parent, Maker(inputs))
    with pytest.raises(BadInput, match="cannot be written"):
        run(inputs[0], Maker(inputs))
    with Output(tmp_path / "out", "data.yaml"), pytest.raises(Busy, match=r"process \d+ on .* is at work here"):
        run(tmp_path / "out", Maker(inputs))


def test_a_strange_manifest_is_passed_over(tmp_path, inputs):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text('\n[1]\n{"item": "0", "fingerprint": 3}\n' + json.dumps({"item": 1}))
    maker = Maker(inputs)
    run(tmp_path / "out", maker)
    assert len(maker.made) == COUNT and run(tmp_path / "out", Maker(inputs))[1] is False


def test_an_unexpected_error_says_where(tmp_path):
    def broken():
        raise ZeroDivisionError

    with Output(tmp_path / "out", "data.yaml") as output, pytest.raises(ZeroDivisionError) as error:
        output.make([Item("nine", (), broken)])
    assert error.value.__notes__ == ["while preparing nine"]


def test_a_file_that_two_threads_write_is_whole(tmp_path):
    contents = [bytes([65 + i]) * 100_000 for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda content: write_file(tmp_path / "a", content), contents * 40))
    assert (tmp_path / "a").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
