"""The command line of `in21k-prep`, and the only modules here that import click."""
