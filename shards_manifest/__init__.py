"""A prepared dataset as it lies on disk or in an object store: files, manifest, sidecars."""
