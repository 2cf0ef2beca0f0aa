"""What a GPU needs so as not to wait, as far as a CPU can show it."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from coarseparts import updates
from coarseparts.data.batches import Feed
from coarseparts.data.store import Store
from coarseparts.data.synthetic import birds
from coarseparts.networks.decoder import conv_bn_relu
from coarseparts.system import device, memory
from coarseparts.updates import TrainingDiverged


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a GPU: the host asks nothing in a step."""
    monkeypatch.setattr(device, "unwatched", lambda optimizer: True)
    yield


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_a_step_that_is_not_finite_is_left_out_and_told_at_the_end(unwatched: None, kind: type) -> None:
    layer = nn.Linear(2, 1)
    optimizer = kind(layer.parameters(), lr=0.1, fused=True)
    x, sums = torch.ones(1, 2), {"good": torch.zeros(()), "bad": torch.zeros(())}
    for scale in (1.0, float("nan"), 1.0):
        before = copy.deepcopy(layer.state_dict())
        terms = {"good": layer(x).square().sum(), "bad": (layer(x) * scale).sum()}
        sums = {name: sums[name] + value.detach() for name, value in terms.items()}
        updates.update(optimizer, terms, clip=1.0)
        same = all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values(), strict=True))
        assert same == (scale != scale)
    assert all(torch.isfinite(p).all() for p in layer.parameters()) and device.left_out([optimizer]) == 1
    with pytest.raises(TrainingDiverged, match=r"not finite \(terms: bad\); lower the learning rate"):
        updates.epoch_means(sums, 3, [optimizer])


def test_steps_that_are_not_watched_are_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    first = nn.Linear(4, 3)
    second = copy.deepcopy(first)
    for layer, deferred in ((first, False), (second, True)):
        monkeypatch.setattr(device, "unwatched", lambda optimizer, deferred=deferred: deferred)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
        for step in range(3):
            updates.update(optimizer, {"loss": layer(torch.full((2, 4), step + 1.0)).square().mean()}, clip=1.0)
        assert updates.epoch_means({"loss": torch.tensor(3.0)}, 3, [optimizer]) == {"loss": 1.0}
    assert torch.equal(first.weight, second.weight)


def test_a_fused_optimizer_on_a_cpu_is_watched() -> None:
    assert not device.unwatched(torch.optim.AdamW(nn.Linear(1, 1).parameters(), fused=True))


def test_constants_are_made_once() -> None:
    cpu = torch.device("cpu")
    table = device.constant(((1, 2), (3, 4)), cpu, torch.int64)
    assert table.tolist() == [[1, 2], [3, 4]] and device.constant(((1, 2), (3, 4)), cpu, torch.int64) is table


def test_batches_of_images_that_lie_on_the_device_are_those_of_the_store() -> None:
    store = Store.from_arrays(birds.SCHEMA, **birds.render(9, size=32))
    rows = np.array([7, 2, 2, 5, 8])
    feeds = [Feed(store, rows, size=3, seed=4, resident=resident) for resident in (False, True)]
    for ours in (lambda feed: list(feed.epoch(99)), lambda feed: list(feed.plain())):
        pairs = list(zip(*(ours(feed) for feed in feeds), strict=True))
        assert len(pairs) == 2
        for a, b in pairs:
            assert torch.equal(a.image, b.image) and torch.equal(a.parts, b.parts) and torch.equal(a.index, b.index)
            assert all(torch.equal(a.labels[k], b.labels[k]) for k in a.labels) and a.labels.keys() == b.labels.keys()
            assert all(torch.equal(a.present[k], b.present[k]) for k in a.present)


@pytest.mark.parametrize("graphs", [False, True])
def test_a_compiled_network_says_the_same_and_keeps_its_names(graphs: bool) -> None:
    if shutil.which("g++") is None and shutil.which("clang++") is None:
        pytest.skip("no C++ compiler, which torch.compile needs on a CPU")
    torch.manual_seed(0)
    plain = nn.Sequential(conv_bn_relu(3, 8, 3), nn.Conv2d(8, 4, 1))
    compiled = copy.deepcopy(plain)
    device.compile_networks([compiled], graphs=graphs)
    x = torch.randn(2, 3, 16, 16)
    for network in (plain, compiled):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        updates.update(optimizer, {"loss": network(x).square().mean()}, clip=1.0)
    torch.testing.assert_close(compiled.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)
    assert list(copy.deepcopy(compiled).state_dict()) == list(plain.state_dict())


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler here")

    module = Broken()
    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", refuse)
    device.compile_networks([module])
    assert module(torch.ones(2)).tolist() == [2, 2]


FAULTS = """
import resource, statistics
import torch
from coarseparts.system import memory
print(memory.keep_freed_memory())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(statistics.median([faults() for _ in range(50)]))  # at first what is freed is a little too small for the next
memory.give_back_memory()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is Linux's")
@pytest.mark.parametrize("kept", [True, False])
def test_large_tensors_that_are_freed_stay_with_a_command(kept: bool) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in memory._OWN_ALLOCATOR}
    environment |= {"THP_MEM_ALLOC_ENABLE": "0"} | ({} if kept else {"MALLOC_TRIM_THRESHOLD_": "131072"})
    ran = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    done, again, given_back = ran.stdout.split()
    if kept and done == "False":
        pytest.skip("the allocator here is not glibc's")
    assert done == str(kept) and (float(again) < 1000) == kept  # 64 MiB are 16,384 pages
    assert int(given_back) > 1000
