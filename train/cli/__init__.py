"""The command line of `in21k-train`, and the only modules here that import click."""
