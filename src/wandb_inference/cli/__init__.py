"""The ``wandb-inference`` command. It needs the ``cli`` extra, and says so when that is missing."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        try:
            import rich  # noqa: F401, PLC0415 (asked for only when the command runs)
            import typer  # noqa: F401, PLC0415
        except ImportError:
            sys.exit("wandb-inference: the command line needs typer and rich: pip install 'wandb-inference[cli]'")
        from wandb_inference.cli.app import run  # noqa: PLC0415

        run()
    except KeyboardInterrupt:  # also while the libraries are still being read
        sys.exit(130)


__all__ = ["main"]
