"""Groups of commands whose modules are imported when they are run: help and completion need none of them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from qpv_geo.commands.output import verbosity


class Lazy(NamedTuple):
    """A command that is not imported yet."""

    target: str
    """``module:attribute`` of its function, or of the group that it is."""
    summary: str
    """First line of its help, as the group's help shows it."""

    def load(self, name: str) -> Any:  # noqa: ANN401 - Typer brings the classes of its own Click
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: typer.Typer | Callable[..., None] = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            return typer.main.get_group(command)
        app = typer.Typer(add_completion=False)
        app.command(name)(command)
        app.command()(verbosity)
        loaded, common = typer.main.get_group(app).commands.values()
        loaded.params += common.params
        return loaded


def lazy_group(commands: Mapping[str, Lazy]) -> type[TyperGroup]:
    """Return the class of a group with these commands, for ``typer.Typer(cls=...)``."""
    return type("LazyGroup", (_LazyGroup,), {"lazy": commands})


class _LazyGroup(TyperGroup):
    lazy: ClassVar[Mapping[str, Lazy]]

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - passed on as Typer gives them
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=lazy.summary) for name, lazy in self.lazy.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        name, listed, rest = super().resolve_command(ctx, args)
        return name, self.lazy[name].load(name) if name and listed else listed, rest
