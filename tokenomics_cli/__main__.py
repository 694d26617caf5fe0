"""python -m tokenomics_cli: the same program as tokenomics-cli."""

import sys

from tokenomics_cli.app import main

sys.exit(main())
