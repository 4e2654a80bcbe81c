"""`python -m in21k.prep`, the same as `in21k-prep`."""

from in21k.prep.cli.main import main

main()
