"""Files beside the shards that other readers want, made from the manifest alone."""

import json

from in21k.shards_manifest.manifest import Manifest

TIMM_INFO = "_info.json"


def timm_info(manifest: Manifest) -> bytes:
    """Return timm's `_info.json`, from which its WebDataset reader learns the splits, the shards and their lengths."""
    splits = {
        name: {
            "name": name,
            "num_samples": manifest.samples(name),
            "filenames": [shard.path for shard in shards],
            "shard_lengths": [shard.samples for shard in shards],
        }
        for name, shards in manifest.splits.items()
    }
    return json.dumps({"splits": splits}, indent=1).encode() + b"\n"
