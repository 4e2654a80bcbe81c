"""Detectors over timm's backbones: each builds and learns, its weights are those of the classifier, mismatches end."""

from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file

from in21k.train.config.settings import Config, DetectionConfig, ModelConfig
from in21k.train.detection.detector import build_detector, detect, losses_of
from in21k.train.errors import TrainError

IMAGES = [torch.full((3, 70, 100), 90, dtype=torch.uint8), torch.full((3, 96, 64), 40, dtype=torch.uint8)]
TARGETS = [
    (torch.tensor([[3.0, 4, 50, 60]]), torch.tensor([1])),
    (torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
]

CONFIG = Config(detection=DetectionConfig(head="retinanet", width=16))
QUICK = ("test_resnet", "test_vit")
LONG = ("tresnet_m", "resnet50", "mobilenetv3_large_100", "ofa_595", "vit_small_patch16_224")
BACKBONES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONG)]


def configured(name: str, head: str = "retinanet", **model: object) -> Config:
    return replace(CONFIG, model=ModelConfig(name=name, **model), detection=replace(CONFIG.detection, head=head))


@pytest.mark.parametrize("head", ["retinanet", "faster-rcnn"])
@pytest.mark.parametrize("name", BACKBONES)
def test_each_backbone_builds_and_every_parameter_learns(name, head):
    torch.manual_seed(0)
    detector = build_detector(configured(name, head), classes=3)
    module = detector.network.module.train()
    loss = losses_of(module, IMAGES, TARGETS, detector.first_label)
    loss.backward()
    assert loss.isfinite()
    assert [key for key, value in module.named_parameters() if value.requires_grad and value.grad is None] == []
    module.eval()
    with torch.inference_mode():
        found = detect(detector, IMAGES)
    assert len(found) == 2
    assert all(((each.classes >= 0) & (each.classes < 3)).all() for each in found)


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_efficientnet", pytest.param("tresnet_m", marks=pytest.mark.slow)]
)
def test_the_feature_extractor_has_the_weights_of_the_file(tmp_path, name):
    torch.manual_seed(1)
    whole = timm.create_model(name, num_classes=7).eval()
    for tensor in whole.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) * 0.1 + 0.05)
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    torch.manual_seed(2)
    detector = build_detector(configured(name, init=str(tmp_path / "weights.safetensors")), classes=3)
    body = detector.network.module.backbone.body.eval()
    assert detector.loaded == detector.tensors == len(body.state_dict())
    images = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        last = body(images)[-1]
        wanted = whole.forward_intermediates(images, intermediates_only=True, norm=False)[-1]
    assert torch.allclose(last, wanted, rtol=1e-3)


def test_weights_of_another_model_are_an_error(tmp_path):
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(TrainError, match=r"other\.safetensors is not a checkpoint of test_resnet"):
        build_detector(configured("test_resnet", init=str(tmp_path / "other.safetensors")), classes=3)


def test_weights_of_another_width_are_an_error(tmp_path):
    state = timm.create_model("test_resnet").state_dict()
    save_file(state | {"layer1.0.conv1.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "wide.safetensors")
    with pytest.raises(TrainError, match=r"layer1\.0\.conv1\.weight is \[3, 3, 3, 3\] in the file"):
        build_detector(configured("test_resnet", init=str(tmp_path / "wide.safetensors")), classes=3)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mixer_s16_224", "has no feature maps for a detector"),
        ("swin_tiny_patch4_window7_224", "takes no images of any size"),
        ("vit_tiny_patch32_224", "timm has no model"),
        ("vit_small_patch32_224", "strides 32, 32"),
    ],
)
def test_a_model_without_maps_for_a_detector_is_refused_in_a_line(name, told):
    with pytest.raises(TrainError, match=told) as caught:
        build_detector(configured(name), classes=3)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_frozen_norms_and_stages_stay_as_they_are_in_training():
    detector = build_detector(configured("test_resnet", frozen_stages=2), classes=3)
    module = detector.network.module.train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = torch.optim.SGD([each for each in module.parameters() if each.requires_grad], lr=0.1)
    losses_of(module, IMAGES, TARGETS, detector.first_label).backward()
    optimizer.step()
    changed = {key for key, value in module.state_dict().items() if not torch.equal(value, before[key])}
    body = {key.removeprefix("backbone.body.") for key in changed if key.startswith("backbone.body.")}
    assert body
    assert not [key for key in body if "bn" in key or key.startswith(("conv1", "layer1"))]


def test_norms_that_are_not_frozen_follow_the_images():
    config = replace(configured("test_resnet"), detection=replace(CONFIG.detection, frozen_norm=False))
    detector = build_detector(config, classes=3)
    module = detector.network.module.train()
    key = "backbone.body.layer1.0.bn1.running_mean"
    before = module.state_dict()[key].clone()
    losses_of(module, IMAGES, TARGETS, detector.first_label)
    assert not torch.equal(module.state_dict()[key], before)


@pytest.mark.parametrize("head", ["retinanet", "faster-rcnn"])
def test_in_mixed_precision_boxes_are_as_exact_as_in_float32(head):
    """bfloat16 has eight bits: of 700 pixels, it knows every fourth."""
    torch.manual_seed(0)
    detector = build_detector(configured("test_resnet", head), classes=3)
    detector.network.module.eval()
    if head == "retinanet":
        detector.network.module.score_thresh = 0.0
        torch.nn.init.normal_(detector.network.module.head.regression_head.bbox_reg.weight, std=0.2)
    images = [torch.randint(0, 256, (3, 128, 700), dtype=torch.uint8)]
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        boxes = detect(detector, images)[0].boxes
    inner = boxes[(boxes > 256) & (boxes < 700)]
    assert len(inner) > 10
    assert (inner.bfloat16().float() != inner).float().mean() > 0.9


def test_boxes_are_learned_at_the_class_that_is_told():
    """After some steps on one image, its box is found with its class."""
    torch.manual_seed(0)
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, 16:48, 16:48] = 255
    target = (torch.tensor([[16.0, 16, 48, 48]]), torch.tensor([2]))
    config = replace(configured("test_resnet"), detection=replace(CONFIG.detection, frozen_norm=False, width=32))
    detector = build_detector(config, classes=3)
    module = detector.network.module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    for _ in range(60):
        optimizer.zero_grad()
        losses_of(module, [image] * 2, [target] * 2, detector.first_label).backward()
        optimizer.step()
    module.eval()
    with torch.inference_mode():
        best = detect(detector, [image])[0]
    assert best.classes[0] == 2
    assert torch.allclose(best.boxes[0], target[0][0], atol=6)
