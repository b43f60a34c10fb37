"""`keyless completion`: a script for a shell, made from the table of verbs and their help."""

from __future__ import annotations

from keyless.cli.options import HelpRequested, UsageError, parse_options
from keyless.cli.output import data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless completion bash|zsh|fish

Prints a completion script for a shell: verbs, and the options of each verb that runs in a job.

examples:
  keyless completion bash > ~/.local/share/bash-completion/completions/keyless
  keyless completion zsh > "${fpath[1]}/_keyless"
  keyless completion fish > ~/.config/fish/completions/keyless.fish

exit codes: 0 printed, 2 usage."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    words = list(argv)
    shell = words.pop() if words and not words[-1].startswith("-") else ""
    try:
        parse_options("completion", words)
    except HelpRequested:
        data(HELP)
        return 0
    if shell not in _SCRIPTS:
        raise UsageError(f"keyless completion needs one of {', '.join(_SCRIPTS)}")
    data(_SCRIPTS[shell]())
    return 0


def options_of(help_text: str) -> list[str]:
    """Return the long options that a verb's help describes, in its order."""
    found = []
    for line in help_text.splitlines():
        word = line.split()[0] if line.startswith("  --") else ""
        if word.startswith("--") and len(word) > 2:
            found.append(word.partition("=")[0])
    return [*dict.fromkeys(found), "--help"]


def _table() -> list[tuple[str, str, list[str]]]:
    """Return each verb with its summary and options; a server verb's options need the server's packages to know."""
    from importlib import import_module

    from keyless.cli.main import VERBS

    rows = []
    for verb, (module, summary) in VERBS.items():
        text = getattr(import_module(module), "HELP", "") if module.startswith("keyless.cli.") else ""
        rows.append((verb, summary, options_of(text)))
    return rows


def _bash() -> str:
    rows = _table()
    cases = "\n".join(f"        {verb}) words='{' '.join(options)}' ;;" for verb, _, options in rows)
    return f"""\
# keyless completion for bash
_keyless() {{
    local words='' word="${{COMP_WORDS[COMP_CWORD]}}"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='{" ".join(verb for verb, _, _ in rows)} help'
    else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    COMPREPLY=( $(compgen -W "$words" -- "$word") )
}}
complete -o default -F _keyless keyless"""


def _zsh() -> str:
    rows = _table()
    verbs = "\n".join(f"        {_quote(f'{verb}:{summary}')}" for verb, summary, _ in rows)
    cases = "\n".join(f"        {verb}) compadd -- {' '.join(options)} ;;" for verb, _, options in rows)
    return f"""\
#compdef keyless
_keyless() {{
    local -a verbs
    verbs=(
{verbs}
    )
    if (( CURRENT == 2 )); then
        _describe 'verb' verbs
        return
    fi
    case "$words[2]" in
{cases}
    esac
    _files
}}
compdef _keyless keyless"""


def _fish() -> str:
    lines = ["# keyless completion for fish", "complete -c keyless -n __fish_use_subcommand -f"]
    for verb, summary, options in _table():
        lines.append(f"complete -c keyless -n __fish_use_subcommand -f -a {verb} -d {_quote(summary)}")
        lines += [
            f"complete -c keyless -n '__fish_seen_subcommand_from {verb}' -l {option.removeprefix('--')}"
            for option in options
        ]
    return "\n".join(lines)


def _quote(text: str) -> str:
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


_SCRIPTS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
