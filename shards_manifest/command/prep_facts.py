"""What each key of `in21k-prep`'s summaries means, and the keys of each command, what matters most first.

A key means the same wherever it appears; where a command uses it otherwise, `COMMAND.KEY` says what it is there.
"""

from collections.abc import Mapping

from in21k.shards_manifest.command.facts import Fact, Kind, facts

FACTS: Mapping[str, Fact] = {
    **facts(
        Kind.COUNT,
        {
            "classes_raw": "classes in the dump",
            "images_raw": "images in the dump",
            "classes_kept": "classes kept",
            "images_kept": "images of classes kept",
            "train": "train images",
            "val": "val images",
            "rejected": "rejected",
            "shards": "shards",
            "train_shards": "train shards",
            "val_shards": "val shards",
            "levels": "levels",
            "species": "classes with pictures",
            "targets": "classes of the other list",
            "same": "mapped to the same class",
            "ancestor": "mapped to an ancestor",
            "descendant": "mapped to a descendant",
            "none": "mapped to no class",
            "images_sampled": "images tried",
            "images_left": "images left to resize",
            "workers": "workers",
            "train_lines": "lines of train.txt",
            "val_lines": "lines of val.txt",
            "images_train": "train images",
            "images_val": "val images",
            "images_subtree": "images of it and all classes below",
            "common": "keys in both",
            "pairs": "pairs of twins",
            "images_with_twins": "images with a twin",
            "written": "files written",
            "count": "how many",
        },
    ),
    **facts(
        Kind.COUNT,
        {
            "small_classes": "classes with fewer pictures",
            "odd": "odd but valid pictures",
            "broken": "broken pictures",
            "classes_unknown": "classes unknown to the taxonomy",
            "classes_unknown_wnid": "classes with an unknown wnid",
            "images_unknown_wnid": "images of classes with an unknown wnid",
            "classes_unknown_label": "classes with an unknown label",
            "images_unknown_label": "images of classes with an unknown label",
            "classes_too_few_images": "classes with too few images",
            "images_too_few_images": "images of classes with too few",
            "classes_ancestor": "classes kept as ancestors alone",
            "images_ancestor": "images of ancestors, dropped",
            "classes_not_listed": "classes not listed",
            "images_not_listed": "images of classes not listed",
            "classes_excluded": "classes excluded",
            "images_excluded": "images of classes excluded",
            "classes_excluded_subtree": "classes in excluded subtrees",
            "images_excluded_subtree": "images in excluded subtrees",
            "classes_outside_subtree": "classes outside the subtrees",
            "images_outside_subtree": "images outside the subtrees",
            "classes_not_in_dump": "listed classes that the dump lacks",
            "images_given_split": "images whose split is given",
            "images_unselected": "images not selected",
            "unselected": "images not selected",
            "lines_without_image": "lines without an image",
            "lines_of_dropped_classes": "lines of dropped classes",
            "rejected_filter": "rejected by filter",
            "rejected_split": "rejected by split",
            "rejected_resize": "rejected by resize",
            "rejected_shard": "rejected by shard",
            "damaged_kept": "damaged but kept",
            "images_sampled_damaged": "images tried that do not decode",
            "classes_short_of_val": "classes short of val images",
            "thumbnails": "thumbnails",
            "judged_thumbnails": "thumbnails of what the model says",
            "other_images": "images of the other sets",
            "within_class": "pairs within a class",
            "across_classes": "pairs across classes",
            "train_val": "pairs of train and val",
            "duplicates.against": "pairs with the other sets",
            "same_file": "pairs with the same bytes",
            "mirrored": "pairs mirrored",
            "cropped": "pairs cropped",
        },
        shows_zero=False,
    ),
    **facts(
        Kind.BYTES,
        {
            "bytes": "size",
            "train_bytes": "size of train",
            "val_bytes": "size of val",
            "work_bytes": "to be written to WORK",
            "output_bytes": "to be written to OUT",
            "needed_bytes": "to be written",
            "free_bytes": "free, on the disk with the least",
            "page_bytes": "size of the page",
            "image_bytes": "size",
        },
    ),
    **facts(
        Kind.SECONDS,
        {
            "resize_seconds": "to resize",
        },
    ),
    **facts(
        Kind.TEXT,
        {
            "verify.level": "depth",
            "source": "source",
            "inspect.path": "path",
            "image_mode": "image mode",
            "image_format": "image format",
            "reason": "reason",
            "stage": "stage",
            "detail": "detail",
            "first_bytes": "first bytes",
            "class_list_sha256": "SHA-256 of the class list",
            "compared_with": "compared with",
            "code": "code",
            "message": "message",
            "meaning": "meaning",
            "subject": "subject",
            "what": "difference",
        },
    ),
    **facts(
        Kind.NUMBER,
        {
            "image_quality": "image quality",
            "thumbnail_side": "side of the thumbnails in pixels",
            "class_index": "class index",
            "offset": "offset in the shard",
        },
    ),
    **facts(
        Kind.PATH,
        {
            "edges": "taxonomy",
            "dataset": "dataset",
            "tree.map": "map",
            "shard": "shard",
        },
    ),
    **facts(
        Kind.FLAG,
        {
            "dry_run": "nothing was written",
            "sound": "sound",
            "compare.same": "same",
            "enough_space": "space is enough",
        },
    ),
    **facts(
        Kind.TEXTS,
        {
            "stages_done": "stages done before",
            "stages_left": "stages left",
            "lemmas": "lemmas",
            "children": "classes directly below",
            "saved": "saved",
            "sidecars.files": "files",
            "repair.written": "files rewritten",
            "repair.deleted": "files deleted",
            "duplicates.findings": "findings",
            "notes": "notes",
            "examples": "such as",
        },
    ),
    **facts(
        Kind.COUNTS,
        {
            "compare.images": "images",
            "classes_per_level": "classes per level",
        },
    ),
    **facts(
        Kind.VALUES,
        {
            "made_by": "made by",
            "reasons": "by reason",
        },
    ),
    **facts(
        Kind.ROWS,
        {
            "findings": "findings",
            "repair.left": "findings left",
            "list": "list",
            "samples": "samples",
            "differences": "differences",
        },
    ),
}

COUNTS = """
train val rejected classes_raw images_raw classes_kept images_kept classes_too_few_images images_too_few_images
classes_unknown_wnid images_unknown_wnid classes_unknown_label images_unknown_label classes_ancestor images_ancestor
classes_not_listed images_not_listed classes_excluded images_excluded classes_excluded_subtree images_excluded_subtree
classes_outside_subtree images_outside_subtree images_given_split images_unselected rejected_filter rejected_split
rejected_resize rejected_shard damaged_kept classes_short_of_val
"""
"""What a manifest counts."""

COMMANDS: Mapping[str, str] = {
    "demo": "path edges classes species images small_classes odd broken bytes",
    "classes": "classes images reasons exported list",
    "run": f"""dry_run stages_done stages_left images_left needed_bytes free_bytes enough_space resize_seconds workers
    {COUNTS} classes images images_sampled images_sampled_damaged work_bytes output_bytes shards bytes dataset""",
    "filter": """classes_kept images_kept classes images classes_unknown classes_ancestor classes_not_listed
    classes_excluded classes_excluded_subtree classes_outside_subtree classes_not_in_dump images_given_split rejected
    findings""",
    "split": """classes train val rejected unselected lines_without_image lines_of_dropped_classes train_lines
    val_lines""",
    "resize": "train val rejected damaged_kept classes_short_of_val",
    "shard": f"{COUNTS} shards bytes dataset",
    "tree": """table map classes levels classes_per_level targets same ancestor descendant none compared_with
    class_list_sha256 findings""",
    "report": "page classes levels thumbnails judged_thumbnails thumbnail_side page_bytes",
    "inspect": f"""class_index wnid key lemmas gloss path level children images_train images_val images_subtree split
    shard offset image_bytes label sha256 first_bytes source {COUNTS} train_shards train_bytes val_shards val_bytes
    image_size image_mode image_format image_quality dataset made_by saved samples""",
    "rejects": "rejected reasons list",
    "verify": "sound level shards bytes dataset findings",
    "repair": "written deleted left",
    "compare": "same images common differences notes",
    "duplicates": """images other_images images_with_twins pairs within_class across_classes train_val against same_file
    mirrored cropped table page findings""",
    "sidecars": "written files",
}
"""The keys of each command, in the order in which they are printed."""

COLUMNS: Mapping[str, str] = {
    "classes.list": "wnid name images level reason gloss",
    "rejects.list": "wnid name stage reason detail",
    "inspect.samples": "key split shard class_index offset image_bytes",
    "findings": "code subject message",
    "verify.findings": "code path message count meaning",
    "repair.left": "code path message count",
    "compare.differences": "what count examples",
}
"""The keys of each list of objects."""
