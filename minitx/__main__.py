"""`python -m minitx` is the command `minitx`."""

import sys

from minitx.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
