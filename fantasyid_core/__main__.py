"""Makes identity-preserving videos with FantasyID. Also installed as the command `fantasyid`.

Exit codes: 0 done, 1 `inspect` or `doctor` found that something required is missing or unusable, 2 an error that is
explained, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from .cli import (
    bench,
    compare,
    convert,
    demo,
    doctor,
    download,
    evaluate,
    generate,
    inspect,
    prepare,
    reconstruct,
    reshape,
    train,
)
from .cli.output import lasting_output
from .cli.packages import needs
from .running.packages import lacks, require

COMMANDS = {
    "generate": generate,
    "reconstruct": reconstruct,
    "reshape": reshape,
    "inspect": inspect,
    "convert": convert,
    "doctor": doctor,
    "download": download,
    "bench": bench,
    "demo": demo,
    "prepare": prepare,
    "train": train,
    "evaluate": evaluate,
    "compare": compare,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; errors that a user can mend are one message, no traceback."""
    with lasting_output():
        return _run(parser().parse_args(argv))


def _run(arguments: argparse.Namespace) -> int:
    try:
        require(f"The command {arguments.command}", needs(arguments.command, arguments))
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return arguments.run(arguments)
    except KeyboardInterrupt as interrupt:
        print(f"\n{interrupt.args[0] if interrupt.args else 'interrupted: nothing was written.'}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        module = (error.name or str(error)).partition(".")[0]
        print(f"error: {lacks(f'The command {arguments.command}', [module])}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"error: a package is installed and cannot be imported: {error}. Install it again.", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; importing it costs no torch."""
    installed = Path(sys.argv[0]).stem == "fantasyid"
    program = "fantasyid" if installed else "python -m fantasyid_core"
    whole = argparse.ArgumentParser(prog=program, description=__doc__.splitlines()[0])
    commands = whole.add_subparsers(dest="command", required=True, metavar="command")
    for name, module in COMMANDS.items():
        summary = module.__doc__.splitlines()[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return whole


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    # Only this project's messages are shown; the libraries' notices to programmers would hide them.
    if category is UserWarning:
        print(f"note: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
