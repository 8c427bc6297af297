"""`python -m tinker_hl.compat SCRIPT`: run a program that says `import tinker` on this client."""

import argparse
import sys

from tinker_hl.compat.program import Program
from tinker_hl.errors import ConfigurationError


def main() -> None:
    """Read the command line and run the program; its own exit status is the process's."""
    parser = argparse.ArgumentParser(
        prog="python -m tinker_hl.compat", description="Run a program that was written for `tinker` on tinker_hl."
    )
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("-m", dest="module", metavar="MODULE", help="a module, as `python -m` takes it")
    chosen.add_argument("script", nargs="?", metavar="SCRIPT", help="a Python file")
    # All that follows the program is its own, dashes included.
    own, arguments = _divided(sys.argv[1:])
    options = parser.parse_args(own)
    program = Program(options.module or options.script, is_module=options.module is not None)
    try:
        run = program.prepared(arguments)
    except ConfigurationError as error:
        parser.error(str(error))
    run()


def _divided(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and what is the program's."""
    count = 2 if arguments[:1] == ["-m"] else 1
    return arguments[:count], arguments[count:]


if __name__ == "__main__":
    main()
