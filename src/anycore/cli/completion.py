"""`anycore completion`."""

from __future__ import annotations

import click

_WHERE = {
    "bash": 'eval "$(anycore completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(anycore completion zsh)" in ~/.zshrc, after compinit',
    "fish": "anycore completion fish | source in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell:5} {text}" for shell, text in _WHERE.items()))
@click.argument("shell", type=click.Choice(list(_WHERE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands in a shell.

    It completes commands, options, their values, and for `call` the methods of the server.

    Where to load it:
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # click knows all three
    click.echo(made(ctx.find_root().command, {}, "anycore", "_ANYCORE_COMPLETE").source())
