"""Help that fits a screen: what is asked for most is explained, the rest named. --help-all explains all."""

from __future__ import annotations

from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand

RARE = "rare"
"""As ``rich_help_panel`` of a flag: --help has only its name."""

_ALL = "--help-all"


def _explain_all(ctx: typer.Context, asked: bool) -> None:
    if asked:
        ctx.meta[_ALL] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HelpAllFlag = Annotated[bool, typer.Option(_ALL, is_eager=True, callback=_explain_all)]


class FittingCommand(TyperCommand):
    """A command whose --help leaves out what its rare flags are for."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        every, explained = self.params, bool(ctx.meta.get(_ALL))
        rare = [] if explained else [each for each in every if getattr(each, "rich_help_panel", "") == RARE]
        for each in every:
            if _ALL in each.opts:
                names = ", ".join(each.opts[0] for each in rare)
                cast("Any", each).help = (
                    f"Explain these too: {names}." if names else "Show this message and exit."
                )
        self.params = [each for each in every if each not in rare]
        try:
            super().format_options(ctx, formatter)
        finally:
            self.params = every
