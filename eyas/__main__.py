"""`python -m eyas` is the command line."""

from eyas.cli import main

main()
