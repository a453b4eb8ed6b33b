"""``python -m xbce.testing``: what `xbce.testing` makes for other programs.

``vectors`` writes exact test vectors as JSON, for test suites in any language.
"""

import argparse
import os
import sys
from pathlib import Path

from xbce.testing import _vectors


def main(arguments: list[str] | None = None) -> int:
    """Do what a subcommand is for; return 0.

    Or 1 where mparray is not installed, 2 where the file can not be written.
    """
    parser = argparse.ArgumentParser(
        prog="python -m xbce.testing", description="Make what test suites need."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    vectors = commands.add_parser(
        "vectors",
        help="write exact test vectors as JSON",
        description="Write labels and logits with their exact losses, gradients, Hessians and "
        "reductions as JSON, for test suites in any language. docs/vectors.md explains the file.",
    )
    vectors.add_argument(
        "--output", type=Path, metavar="FILE", help="write this file; default: standard output"
    )
    vectors.set_defaults(run=_write_vectors)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except ImportError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    return 0


def _check_writable(file: Path) -> None:
    """Raise OSError where the file can't be written: before all that takes long is computed."""
    reason = None
    if file.is_dir():
        reason = "it is a folder"
    elif not file.parent.is_dir():
        reason = f"there is no folder {file.parent}"
    elif not os.access(file if file.exists() else file.parent, os.W_OK):
        reason = "it may not be written"
    if reason is not None:
        raise OSError(f"--output {file}: {reason}.")


def _write_vectors(options: argparse.Namespace) -> None:
    """The subcommand ``vectors``."""
    if options.output is not None:
        _check_writable(options.output)
    written = _vectors.text(_vectors.vectors())
    if options.output is None:
        sys.stdout.write(written)
    else:
        options.output.write_text(written, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
