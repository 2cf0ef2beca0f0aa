"""Several processes on the CPU: the same result as one with the whole batch, and what happens when one is killed."""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from commands import ended, forked
from toy import toy_store, train

from coarseparts.system import parallel

TOY = Path(__file__).parent.parent / "toy.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]

EXACT = [  # plain SGD, for Adam's division enlarges the last bits; losses that are means over images
    *("optimizer=sgd", "precision=float32", "sync_batch_norm=true", "em.dice=0", "em.clip=1e9"),
    "random_start_factor=1",
    *("part_epochs=1", "posterior_epochs=1", "label_epochs=1", "em_epochs=1", "em_epoch_steps=2", "epoch_steps=2"),
]


def smoothly(*words: object) -> None:
    """``train`` without ReLU, at whose kink a unit enlarges rounding to 1e-4."""
    torch.nn.ReLU.forward = lambda _, x: torch.nn.functional.softplus(x)  # type: ignore[method-assign]
    train(*words)


def alone(store: Path, run: Path, *words: str, by: Callable[..., object] = train) -> None:
    assert ended(forked(by, store, run, *words)) == 0


def together(store: Path, run: Path, *words: str, by: Callable[..., object] = train) -> None:
    """Two processes of one run, each with what a launcher tells it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [forked(by, store, run, *words, RANK=str(i), LOCAL_RANK=str(i), **shared) for i in range(2)]
    assert [ended(process) for process in both] == [0, 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, and the same methods trained by one process and by two."""
    root = tmp_path_factory.mktemp("parallel")
    toy_store(root / "store")
    arguments = ["em,multi-task,pseudo-sup", *EXACT]
    alone(root / "store", root / "one", *arguments, by=smoothly)
    together(root / "store", root / "two", *arguments, by=smoothly)
    return root


def test_two_processes_equal_one_with_the_whole_batch(folder: Path) -> None:
    stages = sorted(path.name for path in (folder / "one" / "stages").iterdir())
    assert {"part-model", "posterior", "label-models", "em", "multi-task", "pseudo-sup"} <= set(stages)
    for stage in stages:
        close = 1e-4 if stage == "pseudo-sup" else 1e-5  # it has gone through all the steps of fine-tuning before
        one = torch.load(folder / "one" / "stages" / stage / "state.pt", weights_only=True)
        two = torch.load(folder / "two" / "stages" / stage / "state.pt", weights_only=True)
        for name, module in one["modules"].items():
            for key, value in module.items():
                other = two["modules"][name][key]
                torch.testing.assert_close(
                    other, value, rtol=close, atol=close, msg=lambda m, s=stage, k=key: f"{s} {k}: {m}"
                )
        assert [row[:2] for row in one["history"]] == [row[:2] for row in two["history"]]
        for (_, name, a), (_, _, b) in zip(one["history"], two["history"], strict=True):
            assert b == pytest.approx(a, rel=1e-4, abs=1e-4 if "miou" not in name else 0.5), f"{stage} {name}"


def test_what_one_process_began_two_finish_and_back(folder: Path, tmp_path: Path) -> None:
    store = folder / "store"
    begun = ["em", "part_epochs=4", "precision=float32"]
    process = forked(train, store, tmp_path / "run", *begun)
    state = tmp_path / "run" / "stages" / "posterior" / "state.pt"
    while not state.exists() and process.is_alive():
        time.sleep(0.02)
    process.kill()
    process.join()
    together(store, tmp_path / "run", *begun)
    alone(store, tmp_path / "run", *begun)
    finished = torch.load(tmp_path / "run" / "stages" / "em" / "state.pt", weights_only=True)
    assert finished["epoch"] == 3
    assert any((tmp_path / "run" / "model").glob("*.safetensors"))


def test_a_killed_process_ends_the_run_and_the_run_goes_on(folder: Path, tmp_path: Path) -> None:
    arguments = [TOY, folder / "store", tmp_path / "run", "em", "part_epochs=400"]
    with open(tmp_path / "said", "w") as said:
        process = subprocess.Popen(
            [*TORCHRUN, *map(str, arguments)], env=ENVIRONMENT, stdout=said, stderr=said, start_new_session=True
        )
        try:
            state = tmp_path / "run" / "stages" / "part-model" / "state.pt"
            while not state.exists() and process.poll() is None:
                time.sleep(0.02)
            workers = children(process.pid)
            assert len(workers) == 2
            os.kill(workers[1], signal.SIGKILL)
            assert process.wait(timeout=120) != 0
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    before = torch.load(state, weights_only=True)["epoch"]
    assert 0 < before < 400
    told = (tmp_path / "said").read_text()
    assert "SIGKILL" in told or "another process of this run has ended" in told
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").open()))
    assert (rows and not list((tmp_path / "run").rglob(".*.part"))) or before


def children(pid: int) -> list[int]:
    """Process numbers of what ``pid`` started, oldest first."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    if not found.exists():
        pytest.skip("needs /proc to find the processes")
    return [int(word) for word in found.read_text().split()]


def test_alone_every_function_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with parallel.process_group("cpu") as device:
        assert device == "cpu" and parallel.count() == 1 and parallel.is_main()
    weights = [torch.ones(2), None]
    assert parallel.averaged(weights, [torch.zeros(2), torch.zeros(2)]) is weights
    assert parallel.gathered([1, 2]) == [1, 2] and parallel.shard([1, 2]) == [1, 2]
    assert parallel.share(6) == slice(0, 6)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(parallel.rand((3, 2), generator), torch.rand(3, 2, generator=torch.Generator().manual_seed(3)))


def test_a_batch_that_cannot_be_divided_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "count", lambda: 3)
    with pytest.raises(ValueError, match="a batch of 8 images cannot be divided among 3 processes; take a multiple"):
        parallel.share(8)


def test_shared_batch_norm_alone_is_batch_norm() -> None:
    torch.manual_seed(0)
    plain, x = torch.nn.BatchNorm2d(3), torch.rand(4, 3, 5, 5)
    shared = torch.nn.Sequential(torch.nn.BatchNorm2d(3))
    parallel.share_batch_norm(shared)
    assert (
        isinstance(shared[0], parallel.SyncBatchNorm2d) and shared[0].state_dict().keys() == plain.state_dict().keys()
    )
    assert torch.equal(shared(x), plain(x))
