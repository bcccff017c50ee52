"""`python -m thalweg` is `thalweg`."""

import sys

from thalweg.cli.main import main

sys.exit(main())
