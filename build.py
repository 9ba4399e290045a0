"""The command line of gemlet: `python build.py --help` tells what it does. Needs Python >= 3.10 and nothing else."""

import sys

# Before any import of ours: an older Python would stop at our syntax with a message that helps nobody.
if sys.version_info < (3, 10):
    sys.exit("gemlet needs Python 3.10 or newer; this is Python %d.%d" % sys.version_info[:2])

# TVM imports torch where it finds it, and so where the tests are installed: seconds a command, for nothing.
sys.modules["torch"] = None

from compiler.command_line import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
