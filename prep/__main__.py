"""`python -m in21k.prep`, the same as `in21k-prep`."""

from in21k.prep.cli import main

main()
