"""`python -m discount`: the command line."""

from discount.cli import main

main()
