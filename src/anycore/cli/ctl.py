"""`anycore ctl`: asks a running server for something at its control socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from anycore.cli.commands import Commands
from anycore.cli.exits import Exit
from anycore.cli.failures import Failure
from anycore.cli.options import load

_START_SECONDS: Final = 120.0


@click.group(cls=Commands)
@click.option(
    "--control", metavar="FILE", help="The control socket of the server.  [default: what the configuration says]"
)
@click.option("-c", "--config", metavar="FILE", help="The configuration file.  [default: as for `anycore serve`]")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@click.pass_context
def ctl(ctx: click.Context, control: str | None, config: str | None, *, as_json: bool) -> None:
    """Ask a running server how it is, or tell it what to do.

    The server has to have a control socket: `anycore serve --control FILE`, or `control` below [process] in the
    configuration file. Only root and the server's own user can use it.
    """

    def ask(command: str, timeout: float = 30.0, **arguments: Any) -> Any:
        from anycore.server.process.control import ControlError
        from anycore.server.process.control import ask as ask_server

        path = control or load(config, {}, sections=("process",)).process.control
        if not path:
            message = (
                "nothing says where the server is reached; name its control socket: anycore ctl --control FILE ..."
            )
            raise Failure(message, Exit.USAGE)
        try:
            answer = ask_server(path, command, timeout=timeout, **arguments)
        except ControlError as error:
            raise Failure(str(error), Exit.FAULT) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer in time"
            message = f"no server answers at {path}: {reason}; start one with `anycore serve --control {path}`"
            raise Failure(message, Exit.TRANSPORT) from error
        if as_json:
            from anycore.cli.output import as_json as formatted

            click.echo(formatted(answer))
            ctx.exit()
        return answer

    ctx.obj = ask


@ctl.command()
@click.pass_obj
def status(ask: Callable[..., Any]) -> None:
    """Show how the server is."""
    found = ask("status")
    figures = found["figures"]
    rows = {
        "pid": found["pid"],
        "state": found["state"],
        "version": found["version"],
        "core": found["core"],
        "uptime": f"{found['uptime']:.0f} s",
        "listeners": ", ".join(found["listeners"]),
        "plugins": ", ".join(found["plugins"]),
        "debugging": ", ".join(found["debug"]) or "nothing",
        "connections": f"{figures['connections']} open, {figures['accepted']} so far",
        "calls": f"{figures['in_flight']} under way",
        "refused": figures["refused"],
        "timed out": figures["timed_out"],
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name.ljust(width)}  {value}")


@ctl.command()
@click.pass_obj
def workers(ask: Callable[..., Any]) -> None:
    """List the processes that serve."""
    for one in ask("workers"):
        figures = one["figures"]
        click.echo(
            f"worker {one['number']}  pid {one['process']}  {one['state']}  {one['age']:.0f} s old  {one['calls']} calls"
            f"  {figures['connections']} connections  {figures['in_flight']} under way  replaced {one['replaced']} times"
        )


@ctl.command()
@click.pass_obj
def reload(ask: Callable[..., Any]) -> None:
    """Read configuration, certificates and plugins again; what is wrong changes nothing."""
    done = ask("reload", timeout=_START_SECONDS)
    click.echo(f"took effect: {', '.join(done['changed']) or 'no setting has changed'}")
    click.echo(f"plugins loaded: {', '.join(done['plugins']) or 'none'}")
    if done["later"]:
        click.echo(f"takes effect with `anycore ctl restart`: {', '.join(done['later'])}")


@ctl.command()
@click.argument("part", default="all")
@click.argument("switch", type=click.Choice(["on", "off"]), required=False)
@click.pass_obj
def debug(ask: Callable[..., Any], part: str, switch: str | None) -> None:
    """Switch debugging on or off: `debug on`, or of one PART, `debug core on`.

    Parts are core, files, and the plugins by name. Without on or off, show what is debugged.
    """
    if switch is None and part in ("on", "off"):
        part, switch = "all", part
    arguments = {} if switch is None else {"part": part, "on": switch == "on"}
    for name, on in ask("debug", **arguments)["debug"].items():
        click.echo(f"{name}  {'on' if on else 'off'}")


@ctl.command()
@click.pass_obj
def stop(ask: Callable[..., Any]) -> None:
    """Stop the server; it finishes what runs first."""
    click.echo(f"process {ask('stop')['pid']} finishes what runs, and stops")


@ctl.command()
@click.pass_obj
def restart(ask: Callable[..., Any]) -> None:
    """Have a new server take the place of this one, without losing a request.

    It is started as this one was, and reads code, configuration and plugins anew. When it cannot start, this one goes on.
    """
    done = ask("restart", timeout=_START_SECONDS)
    click.echo(
        f"process {done['pid']} has taken the place of process {done['replaced']}, which finishes what it has under way"
    )
