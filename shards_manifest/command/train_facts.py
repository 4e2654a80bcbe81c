"""What each key of `in21k-train`'s summaries means, and the keys of each command, what matters most first.

A key means the same wherever it appears; where a command uses it otherwise, `COMMAND.KEY` says what it is there.
"""

from collections.abc import Mapping

from in21k.shards_manifest.command.facts import Fact, Kind, facts

FACTS: Mapping[str, Fact] = {
    **facts(
        Kind.COUNT,
        {
            "processes": "processes",
            "throughput.workers": "loader processes per process",
            "batch_size": "images per step",
            "epochs": "epochs",
            "steps": "steps",
            "train_images": "train images",
            "val_images": "val images",
            "features": "features of an image",
            "dimensions": "dimensions",
            "embed.files": "files",
            "queries": "queries",
            "gallery_images": "gallery images",
            "runs_kept": "runs finished before",
            "runs": "runs",
            "checkpoints": "checkpoints",
            "parameters": "parameters",
            "macs": "multiply-adds",
            "v100_batch_size": "V100 batch size",
        },
    ),
    **facts(
        Kind.COUNT,
        {
            "resumed_at_step": "resumed at step",
            "carried_over_images": "train images of no full step",
            "skipped_images": "train images skipped",
            "val_skipped": "val images skipped",
            "overflowed_steps": "steps without an update",
            "pretrained_tensors": "tensors taken over",
            "skipped_boxes": "boxes skipped",
            "clipped_boxes": "boxes clipped",
            "faults": "images that do not decode",
            "embed.images_kept": "images done before",
            "queries_without_relevant": "queries without a relevant image",
            "queries_damaged": "queries that do not decode",
            "gallery_damaged": "gallery images that do not decode",
            "faiss_queries": "queries that FAISS settled",
        },
        shows_zero=False,
    ),
    **facts(
        Kind.BYTES,
        {
            "gpu_memory_bytes": "GPU memory",
        },
    ),
    **facts(
        Kind.SHARE,
        {
            "data_wait": "time waiting for data",
            "val_top1": "top-1",
            "val_top5": "top-5",
            "val_map": "mean average precision",
            "val_map_micro": "mean average precision, micro",
            "val_semantic_top1": "semantic top-1",
            "majority_semantic_top1": "semantic top-1 of the majority",
            "majority_top1": "top-1 of the majority",
            "val_hierarchical_precision": "hierarchical precision",
            "val_hierarchical_recall": "hierarchical recall",
            "val_hierarchical_f1": "hierarchical F1",
            "val_consistent_paths": "consistent paths",
            "val_map50": "average precision at 0.5",
            "val_map75": "average precision at 0.75",
            "val_map_small": "average precision, small",
            "val_map_medium": "average precision, medium",
            "val_map_large": "average precision, large",
            "val_mar_1": "average recall, 1 box",
            "val_mar_10": "average recall, 10 boxes",
            "val_mar_100": "average recall, 100 boxes",
            "val_mar_small": "average recall, small",
            "val_mar_medium": "average recall, medium",
            "val_mar_large": "average recall, large",
            "map": "mean average precision",
            "recall_at_1": "recall at 1",
            "recall_at_5": "recall at 5",
            "recall_at_10": "recall at 10",
            "mean": "mean",
            "low": "low",
            "high": "high",
            "score": "score",
            "top1": "top-1",
            "confused_share": "share",
            "average_precision": "average precision",
            "recall": "recall",
        },
    ),
    **facts(
        Kind.SCORE,
        {
            "train_loss": "train loss",
            "val_loss": "val loss",
            "val_mistake_distance": "distance of mistakes in edges",
            "val_top1_distance": "distance of top-1 in edges",
            "val_top5_distance": "distance of top-5 in edges",
            "val_top20_distance": "distance of top-20 in edges",
            "l2": "strength of the L2 penalty",
            "temperature": "temperature",
            "std": "std",
            "std_checkpoints": "std of checkpoints",
            "std_seeds": "std of seeds",
        },
    ),
    **facts(
        Kind.RATE,
        {
            "step_images_per_second": "images per second, step alone",
            "loader_images_per_second": "images per second, loader alone",
            "v100_train_speed": "V100 images/s",
        },
    ),
    **facts(
        Kind.TEXT,
        {
            "model": "model",
            "weights": "weights",
            "scheme": "scheme",
            "task": "task",
            "head": "head",
            "device": "device",
            "val_note": "note",
            "bound_by": "bound by",
            "advice": "advice",
            "layer": "layer",
            "dtype": "type of the values",
            "weights_sha256": "SHA-256 of the weights",
            "relevance": "relevance",
            "gallery": "gallery",
            "search": "search",
            "metric": "metric",
            "pushed": "pushed to",
            "timm": "timm",
            "imagenet1k_weights": "ImageNet-1K weights",
            "authors_weights": "the authors' weights",
            "summary": "summary",
            "takes": "takes",
            "help": "help",
            "confused_with_name": "taken for",
        },
    ),
    **facts(
        Kind.NUMBER,
        {
            "k": "neighbors",
            "number": "number",
            "seed": "seed",
        },
    ),
    **facts(
        Kind.PATH,
        {
            "run": "run",
            "checkpoint": "checkpoint",
            "retrieve.source": "source",
            "folder": "folder",
            "curves": "curves",
            "predictions": "predictions",
        },
    ),
    **facts(Kind.ANY, {"value": "value"}),
    **facts(
        Kind.FLAG,
        {
            "normalized": "vectors of length 1",
        },
    ),
    **facts(
        Kind.LEVELS,
        {
            "classes_by_level": "classes",
            "val_semantic_top1_by_level": "top-1",
            "majority_semantic_top1_by_level": "majority",
        },
    ),
    **facts(
        Kind.TEXTS,
        {
            "export.files": "files",
            "curves.runs": "runs",
        },
    ),
    **facts(
        Kind.VALUES,
        {
            "held_out_scores": "scores on held-out images, by strength",
            "knn": "by number of neighbors",
            "values": "values",
            "sources": "files that set them",
        },
    ),
    **facts(
        Kind.ROWS,
        {
            "benchmark.table": "table",
            "benchmark.runs": "runs",
            "models": "models",
            "recipes": "recipes",
            "settings": "settings",
            "layers": "layers",
            "worst_classes": "worst classes",
        },
    ),
}

_VAL = """
val_semantic_top1 majority_semantic_top1 val_top1 majority_top1 val_top5 val_map val_map_micro val_map50 val_map75
val_map_small val_map_medium val_map_large val_mar_1 val_mar_10 val_mar_100 val_mar_small val_mar_medium
val_mar_large val_loss val_mistake_distance val_top1_distance val_top5_distance val_top20_distance
val_hierarchical_precision val_hierarchical_recall val_hierarchical_f1 val_consistent_paths val_note val_images
val_skipped
"""
_LEVELS = "classes_by_level val_semantic_top1_by_level majority_semantic_top1_by_level"
_RUN = f"""
{_VAL} train_loss train_images skipped_images skipped_boxes clipped_boxes carried_over_images overflowed_steps model
scheme task head pretrained_tensors features l2 temperature k classes image_size batch_size epochs steps resumed_at_step
device processes seconds images_per_second run checkpoint held_out_scores knn {_LEVELS}
"""

COMMANDS: Mapping[str, str] = {
    "models": "models",
    "recipes": "recipes",
    "recipes show": "name summary layers values sources",
    "settings": "settings",
    "pretrain": _RUN,
    "evaluate": f"{_VAL} model checkpoint weights predictions page {_LEVELS} worst_classes",
    "curves": "curves runs",
    "transfer": _RUN,
    "predict": "images faults seconds output",
    "embed": """images faults images_kept model layer dimensions dtype normalized files seconds images_per_second
    output""",
    "retrieve": """map recall_at_1 recall_at_5 recall_at_10 queries queries_without_relevant queries_damaged
    gallery_images gallery_damaged images faults model layer dimensions image_size relevance gallery search
    faiss_queries weights_sha256 source seconds output""",
    "benchmark": "table runs runs_kept seconds output",
    "export": "exported files model classes image_size checkpoint pushed",
    "throughput": """images_per_second step_images_per_second loader_images_per_second data_wait bound_by advice model
    device processes workers batch_size gpu_memory_bytes""",
}
"""The keys of each command, in the order in which they are printed."""

COLUMNS: Mapping[str, str] = {
    "models": "name timm parameters macs v100_train_speed v100_batch_size imagenet1k_weights authors_weights",
    "recipes": "name summary",
    "settings": "key value takes help",
    "layers": "name sha256",
    "worst_classes": "name wnid images top1 confused_with_name confused_share average_precision recall",
    "benchmark.table": "label task kind metric runs checkpoints mean std std_checkpoints std_seeds low high images",
    "benchmark.runs": "label number checkpoint task kind seed metric score folder",
}
"""The keys of each list of objects."""
