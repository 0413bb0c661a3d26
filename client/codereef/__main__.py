# SPDX-License-Identifier: Apache-2.0
"""`python -m codereef` is `cr`."""

import sys

from codereef.cli.entry import main

sys.exit(main())
