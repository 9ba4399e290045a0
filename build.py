"""The command line of gemlet: `python build.py --help` tells what it does. Needs Python >= 3.10 and nothing else."""

import sys

# Before any import of ours: an older Python would stop at our syntax with a message that helps nobody.
if sys.version_info < (3, 10):
    sys.exit("gemlet needs Python 3.10 or newer; this is Python %d.%d" % sys.version_info[:2])

from compiler.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
