"""Retrieval: the images that are like a query, ranked exactly, and scored as INRIA Holidays is."""
