"""Appendix B's networks: their cost against the figure, every encoder, weights files, and what commutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from real_data import SHARED
from safetensors.torch import save_file
from torch import nn

from coarseparts.networks import Encoder, LabelModel, PartModel, Posterior, SeparatePosteriors, members
from coarseparts.networks.decoder import SkipDecoder, conv_bn_relu, upsample
from coarseparts.networks.macs import macs, network_table
from coarseparts.training import settings as presets
from coarseparts.training.networks import resolve

TRUNK = SHARED / "weights" / "resnet18_trunk.safetensors"


def conv(inputs: int, outputs: int, kernel: int, side: int) -> int:
    """Multiply-accumulates of a convolution whose output is ``side`` pixels wide and high."""
    return inputs * outputs * kernel**2 * side**2


def blocks(inputs: int, outputs: int, count: int, side: int) -> int:
    """``count`` basic blocks: two 3x3 convolutions each, and a 1x1 shortcut where the first changes its input."""
    first = conv(inputs, outputs, 3, side) + conv(outputs, outputs, 3, side)
    rest = (count - 1) * 2 * conv(outputs, outputs, 3, side)
    return first + rest + (conv(inputs, outputs, 1, side) if inputs != outputs else 0)


def resnet34(inputs: int) -> int:
    """Fig. 6, left column, at 256 pixels: the strides 2, (pool) 4, 8, 16, 16."""
    return (
        conv(inputs, 64, 7, 128)
        + blocks(64, 64, 3, 64)
        + blocks(64, 128, 4, 32)
        + blocks(128, 256, 6, 16)
        + blocks(256, 512, 3, 16)
    )


def shallow(inputs: int) -> int:
    """Fig. 6, middle column: every stride is 2, so both blocks have a shortcut."""
    block = {side: 2 * conv(16, 16, 3, side) + conv(16, 16, 1, side) for side in (64, 16)}
    return conv(inputs, 16, 7, 128) + block[64] + block[16]


def decoder(inputs: int, outputs: int) -> int:
    """Fig. 6, right column: each 1x1 convolution at the size before its upsampling."""
    return (
        conv(inputs, 256, 1, 16)
        + conv(256, 256, 1, 32)
        + conv(256, 128, 1, 64)
        + conv(128, 64, 1, 128)
        + conv(64, outputs, 1, 256)
    )


def test_the_part_model_costs_what_the_figures_does() -> None:
    cost = network_table()[0]
    assert cost.name == "part model"
    assert cost.macs == pytest.approx(7.72e9, rel=0.02)


def test_all_three_networks_cost_the_sum_of_the_figures_layers() -> None:
    expected = {
        "part model": resnet34(3) + decoder(512, 11),
        "posterior": resnet34(3) + shallow(16) + decoder(512 + 16, 11),
        "keypoint model": resnet34(11) + decoder(512, 15),
    }
    table = {row.name: row for row in network_table()}
    assert table.keys() == expected.keys()
    for name, cost in expected.items():
        assert table[name].macs == pytest.approx(cost, rel=1e-6), name


def test_parameters_are_counted() -> None:
    row = network_table()[0]
    with torch.device("meta"):
        model = PartModel(Encoder("resnet34"), 11)
    assert row.parameters == sum(p.numel() for p in model.parameters())


def test_counting_scales_with_the_batch_and_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU())
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert macs(network, torch.randn(2, 3, 8, 8)) == 2 * conv(3, 5, 3, 8)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items()), "no running statistic moved"


@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34", "resnet50"])
def test_every_encoder_reads_out_strides_1_2_4_8_and_16(name: str) -> None:
    encoder = Encoder(name).eval()
    with torch.no_grad():
        features = encoder(torch.randn(1, 3, 32, 64))
    assert [tuple(f.shape[-2:]) for f in features] == [(32, 64), (16, 32), (8, 16), (4, 8), (2, 4)]
    assert [f.shape[1] for f in features] == encoder.widths


def test_an_encoder_of_three_stages_still_ends_at_stride_16() -> None:
    encoder = Encoder("resnet10", stages=3, in_channels=5)
    assert encoder(torch.randn(2, 5, 32, 32))[-1].shape == (2, 128, 2, 2)


@pytest.mark.parametrize("kind", ["paper", "stride4", "stride2", "stride1"])
def test_part_model_and_posterior_give_logits_at_full_size(kind: str) -> None:
    image, drawn = torch.randn(2, 3, 32, 48), torch.rand(2, 6, 32, 48)
    with torch.no_grad():
        assert PartModel(Encoder("resnet10", stages=3), 5, kind)(image).shape == (2, 5, 32, 48)
        assert Posterior(Encoder("resnet10", stages=3), 6, 5, kind)(image, drawn).shape == (2, 5, 32, 48)


def test_at_stride_1_the_image_itself_decides_last_and_every_level_gives_scores() -> None:
    torch.manual_seed(0)
    decoder = SkipDecoder([3, 8, 8, 8, 16], 4, stride=1).eval()
    sizes = zip((3, 8, 8, 8, 16), (1, 2, 4, 8, 16), strict=True)
    image, *coarser = (torch.randn(1, c, 32 // s, 32 // s) for c, s in sizes)
    dotted = image.clone()
    dotted[..., 20, 11] += 3
    with torch.no_grad():
        changed = (decoder([dotted, *coarser]) - decoder([image, *coarser])).abs().amax((0, 1)) > 0
    rows, columns = changed.nonzero().T
    assert changed[20, 11] and rows.min() >= 18 and rows.max() <= 22 and columns.min() >= 9 and columns.max() <= 13
    for head in (decoder.head, *decoder.coarse_heads):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, 1.0)
    torch.testing.assert_close(decoder([image, *coarser]), torch.full((1, 4, 32, 32), 5.0))


def test_the_posterior_listens_to_image_and_labels() -> None:
    network = Posterior(Encoder("resnet10", stages=3), 2, 3)
    image, drawn = torch.randn(2, 3, 32, 32), torch.rand(2, 2, 32, 32)
    out = network(image, drawn)
    assert not torch.allclose(out, network(image, 1 - drawn))
    assert not torch.allclose(out, network(-image, drawn))


@pytest.mark.parametrize("kind", ["paper", "light"])
def test_a_label_model_gives_maps_at_its_stride(kind: str) -> None:
    network = LabelModel(4, 7, kind, encoder="resnet10", width=8)
    out = network(torch.rand(2, 4, 32, 32))
    assert out.shape == (2, 7, 32 // network.stride, 32 // network.stride)


def test_a_1x1_convolution_commutes_with_upsampling() -> None:
    """The saving of Fig. 6's order: conv, upsample, norm, ReLU is upsample, conv, norm, ReLU at a quarter the work."""
    layer, norm = nn.Conv2d(12, 5, 1), nn.BatchNorm2d(5)
    x = torch.randn(2, 12, 6, 6)
    first = torch.relu(norm(upsample(layer(x))))
    last = torch.relu(norm(layer(upsample(x))))
    torch.testing.assert_close(first, last, atol=1e-5, rtol=1e-5)
    assert macs(layer, upsample(x)) == 4 * macs(layer, x)


def test_conv_bn_relu_halves_the_size_at_stride_2() -> None:
    assert conv_bn_relu(3, 4, 7, 2)(torch.randn(2, 3, 32, 32)).shape == (2, 4, 16, 16)


def test_upsampling_keeps_pixel_centres_in_place() -> None:
    """A ramp stays the same ramp in image coordinates, which would shift were corners aligned instead."""
    centres = (torch.arange(8) + 0.5) * 4
    fine = upsample(centres.expand(1, 1, 8, 8), 4)[0, 0, 16]
    inner = slice(2, -2)  # the border repeats its last value
    torch.testing.assert_close(fine[inner], (torch.arange(32) + 0.5)[inner])


@pytest.mark.skipif(not TRUNK.is_file(), reason=f"no weights file at {TRUNK}: nothing to load")
def test_the_shared_weights_load_and_only_the_last_stage_is_missing() -> None:
    encoder = Encoder("resnet18", weights=str(TRUNK))
    assert encoder.missing and all(name.startswith("layer4.") for name in encoder.missing)
    loaded, plain = encoder.state_dict(), Encoder("resnet18").state_dict()
    assert not torch.equal(loaded["stem.0.weight"], plain["stem.0.weight"])
    assert loaded["stem.0.weight"].dtype == torch.float32, "the file holds half precision"
    assert not any(name.startswith("layers.3") for name in Encoder("resnet18", stages=3).state_dict())


def test_a_weights_file_is_taken_over_and_what_it_lacks_is_named(tmp_path: Path) -> None:
    source = Encoder("resnet10")
    weight = source.state_dict()["stem.0.weight"].clone()
    save_file({"conv1.weight": weight.half(), "fc.weight": torch.zeros(2, 2)}, tmp_path / "part.safetensors")
    encoder = Encoder("resnet10", weights=str(tmp_path / "part.safetensors"))
    torch.testing.assert_close(encoder.state_dict()["stem.0.weight"], weight, atol=1e-3, rtol=1e-3)
    assert "conv1.weight" not in encoder.missing and "layer1.0.conv1.weight" in encoder.missing
    assert not any(name.startswith("fc") or name.endswith("num_batches_tracked") for name in encoder.missing)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_another_shape_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path, wrong = tmp_path / f"wide{suffix}", {"conv1.weight": torch.zeros(32, 3, 7, 7)}
    save_file(wrong, path) if suffix == ".safetensors" else torch.save(wrong, path)
    with pytest.raises(ValueError, match=r"wide.*conv1\.weight is \(32, 3, 7, 7\).*expects \(64, 3, 7, 7\)"):
        Encoder("resnet10", weights=str(path))


def test_unusable_weights_files_are_named(tmp_path: Path) -> None:
    broken, foreign = tmp_path / "broken.safetensors", tmp_path / "foreign.safetensors"
    broken.write_bytes(b"\x00" * 20)
    save_file({"blocks.0.attn": torch.zeros(3)}, foreign)
    for path, says in ((broken, "cannot be read"), (foreign, "no tensor fits"), (tmp_path / "gone.pth", "no such")):
        with pytest.raises(ValueError, match=rf"{path.name}.*{says}"):
            Encoder("resnet10", weights=str(path))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("broken.safetensors", b"\x00" * 20, "cannot be read as weights"),
        ("empty.safetensors", b"", "cannot be read as weights"),
        ("empty.pth", b"", "cannot be read as weights"),
        ("birds.yaml", b"parts: [head]\n", "cannot be read as weights"),
        ("cut.pth", 300, "cannot be read as weights"),
        ("list.pth", [torch.zeros(2)], "holds a list, expected tensors by name"),
        ("nested.pth", {"state_dict": {"conv1.weight": torch.zeros(2)}, 3: 4}, "holds no tensor by name"),
        ("x" * 300, None, "no such weights file"),
        ("folder.pth", None, "no such weights file"),
    ],
)
def test_damaged_weights_are_a_sentence_wherever_they_are_read(
    tmp_path: Path, name: str, content: object, says: str
) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, int):
        torch.save({"conv1.weight": torch.zeros(99)}, path)
        path.write_bytes(path.read_bytes()[:content])
    elif content is not None:
        torch.save(content, path)
    elif name == "folder.pth":
        path.mkdir()
    settings = presets.settings("default", {"weights": str(path)})
    for read in (lambda: Encoder("resnet10", weights=str(path)), lambda: resolve(settings, "cpu")):
        with pytest.raises(ValueError) as caught:
            read()
        said = str(caught.value)
        assert str(path) in said and says in said and "\n" not in said and len(said) < len(str(path)) + 400


def test_the_encoder_is_told_from_the_weights(tmp_path: Path) -> None:
    for name in ("resnet18", "resnet50"):
        state = timm.create_model(name, num_classes=0).state_dict()
        few = {k: v for k, v in state.items() if k.startswith(("conv1", "layer1."))}
        torch.save(few, tmp_path / f"{name}.pth")
        found = resolve(presets.settings("default", {"weights": str(tmp_path / f"{name}.pth")}), "cpu")
        assert (found.encoder, found.stages) == (name, 3)


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("no connection and not in the cache.\nPlease try again. " + "x" * 500),
        URLError("no route"),
        OSError(101, "Network is unreachable"),
        RuntimeError("No pretrained weights exist for this model"),
    ],
)
def test_imagenet_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    create = timm.create_model

    def offline(name: str, pretrained: bool, **more: object) -> nn.Module:
        if pretrained:
            raise error
        return create(name, pretrained=False, **more)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"cannot download.*resnet18.*--weights FILE, or --weights random") as caught:
        Encoder("resnet18", weights="imagenet")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    with pytest.raises(ValueError, match="resnet99"):
        Encoder("resnet99", weights="imagenet")
    with pytest.raises(ValueError, match="is not a ResNet"):
        Encoder("vit_base_patch16_224", weights="imagenet")


def test_a_weights_file_cannot_run_code(tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (trace,)

    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(ValueError, match="evil"):
        Encoder("resnet10", weights=str(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Encoder("resnet10", weights="imagenet"), "resnet18"),
        (lambda: Encoder("resnet10", stages=5), "3 or 4"),
        (lambda: Encoder("resnet99"), "resnet99"),
        (lambda: Encoder("vit_base_patch16_224"), "is not a ResNet; take one of"),
        (lambda: Encoder("resnetv2_50"), "is not a ResNet; take one of"),
        (lambda: PartModel(Encoder("resnet10"), 3, "stride3"), "stride4"),
        (lambda: LabelModel(3, 3, "heavy"), "light"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_can_be_chosen(build: Callable[[], nn.Module], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        build()


def test_separate_posteriors_each_see_their_own_images() -> None:
    def build() -> Posterior:
        return Posterior(Encoder("resnet10", stages=3), 3 + 2, 4, "stride4")

    torch.manual_seed(0)
    posterior = SeparatePosteriors(2, build).eval()
    assert len(members(posterior)) == 4
    image, drawn = torch.randn(5, 3, 32, 32), torch.randn(5, 5, 32, 32)
    for row, subset in enumerate((3, 0, 1, 3, 2)):
        drawn[row, 3], drawn[row, 4] = subset & 1, subset >> 1
    with torch.no_grad():
        logits = posterior(image, drawn)
        for row, subset in enumerate((3, 0, 1, 3, 2)):
            alone = members(posterior)[subset](image[row : row + 1], drawn[row : row + 1])
            torch.testing.assert_close(logits[row : row + 1], alone, atol=1e-4, rtol=1e-4)
    posterior.train()
    posterior(image[[0, 3]], drawn[[0, 3]]).sum().backward()
    moved = [any(p.grad is not None for p in one.parameters()) for one in members(posterior)]
    assert moved == [False, False, False, True]


def test_a_weights_file_that_fits_no_encoder_is_told_before_there_is_a_network(tmp_path: Path) -> None:
    file = tmp_path / "nothing.safetensors"
    for name in ("auto", "resnet18"):
        with pytest.raises(ValueError, match=r"nothing\.safetensors: no such weights file"):
            resolve(presets.settings(changes={"weights": str(file), "encoder": name}), "cpu")
