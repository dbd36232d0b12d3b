"""What the command lines share: a wrong argument or a failure is one line, with an exit code that says which."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from hsi_edge.errors import HSIEdgeError, InputError

FAILED, WRONG_USE = 1, 2


class OneLineParser(argparse.ArgumentParser):
    """Wrong arguments are wrong input like any other."""

    def error(self, message: str) -> NoReturn:
        """Raise what was wrong, and where the right use stands.

        Raises:
            InputError: Always.
        """
        raise InputError(f"{message}; see: {self.prog} --help")


def exit_code(err: BaseException) -> int:
    """2 for wrong use, 1 for failed work."""
    return WRONG_USE if isinstance(err, InputError) else FAILED


def run_tool(name: str, parse: Callable[[], argparse.Namespace]) -> int:
    """Parse the arguments of a tool of the bench and run its command, the function in `run`.

    Returns:
        0 for success, 2 for wrong use, 1 for failed work; the last two with a line on stderr.
    """
    try:
        arguments = parse()
        arguments.run(arguments)
    except HSIEdgeError as err:
        sys.stderr.write(f"{name}: {err}\n")
        return exit_code(err)
    return 0
