# SPDX-License-Identifier: Apache-2.0
"""What scripts/compare starts."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Not this folder, which was the first one: it has an html.py, as Python has an html.
sys.path[0] = str(ROOT / "benches")

from compare import cli  # noqa: E402  (the path had to be set first)

if __name__ == "__main__":
    try:
        sys.exit(cli.main(ROOT, sys.argv[1:]))
    except KeyboardInterrupt:
        print("scripts/compare: interrupted; no report was written", file=sys.stderr)
        sys.exit(cli.EXIT_INTERRUPTED)
