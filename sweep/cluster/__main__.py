"""``python -m sweep.cluster``: token, check, wait, doctor, spot, down."""

import sys

from sweep.cluster.cli import main

if __name__ == "__main__":
    sys.exit(main())
