"""What all commands share: the global flags, before or after the command, and what follows from them."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tokenomics_cli.errors import WrongUsage
from tokenomics_cli.help_page import RARE, FittingCommand, HelpAllFlag

if TYPE_CHECKING:
    from tokenomics_core.config import Config
    from tokenomics_core.tokens import Keys, TokenStore

ConfigFlag = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="PATH", help="Config file, instead of the first one found.", rich_help_panel=RARE
    ),
]
DbFlag = Annotated[
    str | None,
    typer.Option(
        "--db", metavar="PATH", help="Token database, instead of storage.db_path.", rich_help_panel=RARE
    ),
]
DirFlag = Annotated[
    str | None,
    typer.Option(
        "--dir", metavar="PATH", help="Data directory, instead of ~/.tokenomics.", rich_help_panel=RARE
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_GLOBAL = {"config": ConfigFlag, "db": DbFlag, "dir": DirFlag}


class Invocation:
    """One run of the program: its global flags, and the configuration and stores they lead to."""

    def __init__(self, **flags: str | None) -> None:
        self.flags = flags

    def take(self, **flags: str | None) -> None:
        """Flags that stand further right win."""
        self.flags.update({name: value for name, value in flags.items() if value is not None})

    def start(self) -> None:
        """Called once before a command: .env files enter the environment."""
        from tokenomics_core.config import load_dotenv_files

        os.environ.update(load_dotenv_files(os.environ, Path.cwd(), _home()))
        _show_warnings()

    @functools.cached_property
    def config(self) -> Config:
        """The configuration as it was when it was first asked for; raises ConfigError."""
        return self.read_config()

    def read_config(self) -> Config:
        """Reads it anew; raises ConfigError. What the reading ignored is told on stderr."""
        from tokenomics_core.config import load_config

        config = load_config(
            path=self.flags.get("config"),
            dir=self.flags.get("dir"),
            db=self.flags.get("db"),
            environ=os.environ,
            cwd=Path.cwd(),
            home=_home(),
        )
        for warning in config.warnings:
            warn(warning)
        return config

    @functools.cached_property
    def keys(self) -> Keys:
        """The store's secrets, made when there are none."""
        from tokenomics_core.config import prepare_data_dir
        from tokenomics_core.tokens import load_keys

        prepare_data_dir(self.config)
        return load_keys(self.config, os.environ, os.urandom)

    @contextmanager
    def store(self) -> Iterator[TokenStore]:
        """The token store, made when there is none."""
        from tokenomics_core.tokens import TokenStore

        store = TokenStore(self.config.storage.db_path, self.keys)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def existing_store(self) -> Iterator[TokenStore | None]:
        """The token store; None, and nothing is made, when there is none."""
        if not self.config.storage.db_path.exists():
            yield None
            return
        with self.store() as store:
            yield store


class Group(TyperGroup):
    """A group of commands that says in one line which command it does not know."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise WrongUsage(f'unknown command "{name}" for "{ctx.command_path}"{hint}', ctx)
        return super().resolve_command(ctx, args)


def new_app(help: str, cls: type[TyperGroup] = Group) -> typer.Typer:
    """The `app` of a module with a single command."""
    return typer.Typer(
        help=help,
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def new_group(help: str) -> typer.Typer:
    """The `app` of a module with several commands below one name."""
    app = new_app(help)

    @app.callback()
    def flags(ctx: typer.Context, config: ConfigFlag = None, db: DbFlag = None, dir: DirFlag = None) -> None:
        ctx.find_root().obj.take(config=config, db=db, dir=dir)

    return app


def command(
    app: typer.Typer, name: str, **settings: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function as a command that also takes the global flags.

    Its first parameter is the Invocation; the others are its own arguments and flags. It returns the exit
    code, or nothing for 0.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        app.command(name, **{"cls": FittingCommand} | settings)(_with_global_flags(function))
        return function

    return register


def _with_global_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> Any:
        invocation: Invocation = ctx.find_root().obj
        invocation.take(**{flag: values.pop(flag) for flag in _GLOBAL})
        values.pop("help_all")
        invocation.start()
        return function(invocation, **values)

    kind = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("ctx", kind, annotation=typer.Context)
    own = [parameter.replace(kind=kind) for parameter in own]
    shared = [inspect.Parameter(flag, kind, default=None, annotation=hint) for flag, hint in _GLOBAL.items()]
    help_all = inspect.Parameter("help_all", kind, default=False, annotation=HelpAllFlag)
    parameters = [context, *own, *shared, help_all]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def warn(message: str) -> None:
    print(f"Warning: {message}", file=sys.stderr)


def print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _home() -> Path:
    return Path(os.path.expanduser("~"))


class _Stderr(logging.Handler):
    """Shows the core's warnings to the person, until a command sets up a log of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        if not logging.getLogger().handlers:
            warn(record.getMessage())


def _show_warnings() -> None:
    logger = logging.getLogger("tokenomics_core")
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr(logging.WARNING))
