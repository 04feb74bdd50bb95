"""``python -m sweep.cluster``: token, check, wait, doctor, spot, down."""

import sys

from sweep.cluster.cli import main
from trainables.streams import steady_streams

if __name__ == "__main__":
    steady_streams()
    sys.exit(main())
