"""The most similar images, exactly and without ties left to chance: a classifier by their votes."""
