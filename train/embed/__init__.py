"""Embeddings: a network's vector for each image, in Parquet files."""
