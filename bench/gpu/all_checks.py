"""All checks, in the order in which they are carried out."""

from itertools import product

from gpu.check import Check

SCHEMES = (
    "semantic-softmax",
    "multi-label",
    "single-label",
    "distillation",
    "multi-label-distillation",
    "semantic-distillation",
    "hierarchical-cross-entropy",
    "soft-labels",
)
PRECISIONS = ("bfloat16", "float16")
MODELS = (("resnet50", 256), ("tresnet_m", 256), ("mobilenetv3_large_100", 512))
COMPILE = ("--compile",)
ON_CPU = {
    *product(SCHEMES, ("bfloat16",), (False,)),
    (SCHEMES[0], "float16", False),
    (SCHEMES[0], "bfloat16", True),
}
"""The runs of a scheme, in a precision, compiled or not, that a CPU tries; all of them would take it an hour."""

ENOUGH = "a CPU tries enough others of this kind"

MACHINE = Check("machine", "machine.describe", is_quick=True)


def _schemes() -> list[Check]:
    """Return a check for each scheme, precision, and compilation or not."""
    checks = []
    for compiles, scheme, dtype in product((False, True), SCHEMES, PRECISIONS):
        checks.append(
            Check(
                name=f"{scheme}-{dtype}{'-compiled' if compiles else ''}",
                function="runs.scheme",
                arguments=(scheme, dtype, COMPILE if compiles else ()),
                gpu_only="" if (scheme, dtype, compiles) in ON_CPU else ENOUGH,
                seconds=480 if compiles else 240,
                is_quick=(scheme, dtype, compiles) == ("semantic-softmax", "bfloat16", False),
            )
        )
    return checks


def _losses() -> list[Check]:
    """Return a check for each loss, and for one that is compiled."""
    checks = [
        Check(f"loss-{scheme}", "loss_values.equal", (scheme, ("float32", *PRECISIONS)), is_quick=scheme == SCHEMES[0])
        for scheme in SCHEMES
    ]
    compiled = Check("loss-compiled", "loss_values.equal", ("semantic-softmax", ("bfloat16",), True), seconds=480)
    return [*checks, compiled]


def _ranks() -> list[Check]:
    """Return the checks of two processes."""
    checks = [
        Check(
            name=f"two-ranks-{dtype}{'-compiled' if compiles else ''}",
            function="runs.scheme",
            arguments=("semantic-softmax", dtype, COMPILE if compiles else (), 2),
            devices=2,
            gpu_only=ENOUGH if compiles or dtype == "float16" else "",
            seconds=600 if compiles else 240,
        )
        for compiles, dtype in product((False, True), PRECISIONS)
    ]
    return [
        *checks,
        Check("two-ranks-exact", "runs.exact", ("exact", (), 2), devices=2),
        Check("sync-bn", "ranks.synchronized_norms", devices=2),
        Check("resume-2-to-1", "ranks.stopped", (2,), devices=2, seconds=300),
        Check("killed-rank", "ranks.killed", devices=2, seconds=300, is_quick=True),
    ]


def _speeds() -> list[Check]:
    """Return the measurements of each model."""
    limits = {"seconds": 480, "is_figure": True}
    alone = [Check(f"throughput-{name}", "figures.throughput", (name, batch), **limits) for name, batch in MODELS]
    beside = [Check(f"timm-{name}", "figures.beside_timm", (name, batch), **limits) for name, batch in MODELS]
    two = Check("throughput-two-gpus", "figures.throughput", ("resnet50", 256, 2), devices=2, **limits)
    return [*alone, two, *beside]


CHECKS = (
    Check("tests", "whole_suite.marked", seconds=900, is_quick=True),
    *_schemes(),
    Check("accumulate", "runs.exact", ("exact", ("--set", "optim.accumulate=4"))),
    Check("ema", "runs.ema"),
    Check(
        "sgd",
        "runs.exact",
        ("sgd", ("--set", "optim.name=sgd", "--lr", "0.05"), 1, True),
        gpu_only="fused on a GPU alone",
    ),
    Check("growing-images", "runs.growing_images", is_quick=True),
    Check("growing-images-compiled", "runs.growing_images", COMPILE, gpu_only=ENOUGH, seconds=480),
    Check("augmented-on-device", "runs.augmented_on_device"),
    Check("deterministic-test_vit", "runs.deterministic", ("test_vit",)),
    Check("deterministic-test_resnet", "runs.deterministic", ("test_resnet",), gpu_only=ENOUGH),
    Check("tresnet_m", "runs.large_images", ("tresnet_m",), seconds=480),
    Check("sigterm", "ranks.stopped", (1,)),
    Check("uses", "runs.uses", is_quick=True),
    *_ranks(),
    Check("batches-pinned", "copies.arrive", (True,), is_quick=True),
    Check("batches-not-pinned", "copies.arrive", (False,)),
    *_losses(),
    Check("losses", "figures.losses", is_figure=True, is_quick=True),
    *_speeds(),
)
"""After `MACHINE`."""
