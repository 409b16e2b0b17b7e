"""`python -m symopt` is the command `symopt`."""

import sys

from .cli.main import main

sys.exit(main())
