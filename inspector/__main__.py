"""`python -m inspector` is `inspector`."""

from inspector.cli import main

main()
