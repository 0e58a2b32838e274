"""`anycore completion`."""

from __future__ import annotations

from typing import Final

import click

_WHERE = {
    "bash": 'eval "$(anycore completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(anycore completion zsh)" in ~/.zshrc, after compinit',
    "fish": "anycore completion fish | source in ~/.config/fish/config.fish",
}

_SPLIT: Final = 'response=$(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD'
# bash takes URLs to pieces at their colons (COMP_WORDBREAKS): what has no space before it on the line belongs to the word before.
_JOINED: Final = """local index=-1 rest=$COMP_LINE trimmed i
    local -a words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        trimmed=${rest#"${rest%%[![:space:]]*}"}
        if [[ $i == 0 || $trimmed != "$rest" ]]; then index=$((index + 1)); fi
        words[index]+=${COMP_WORDS[i]}
        rest=${trimmed#"${COMP_WORDS[i]}"}
    done

    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$index"""


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
    source = made(ctx.find_root().command, {}, "anycore", "_ANYCORE_COMPLETE").source()
    if shell == "bash":
        assert _SPLIT in source  # click is pinned
        source = source.replace(_SPLIT, _JOINED)
    click.echo(source)
