"""`keyless completion`: a script for a shell, made from what the command line understands.

Each script walks the words before the cursor for the longest command they name, and then offers what is below it, its
options, or the values of the option before the cursor. Where the value is a file, the shell's own files are offered.
"""

from __future__ import annotations

from dataclasses import asdict

from keyless.cli.grammar import Command, Option, commands
from keyless.cli.options import HelpRequested, UsageError, parse_options
from keyless.cli.output import data, help_page, json_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HELP: Final = """\
usage: keyless completion --json
       keyless completion bash|zsh|fish

Print a completion script for a shell: every verb, its options, and their values where there are only a few. The
service's verbs have options in it where the service is installed.

  --json             print what every verb takes, for a completion of your own

examples:
  keyless completion bash > ~/.local/share/bash-completion/completions/keyless
  keyless completion zsh > "${fpath[1]}/_keyless"
  source <(keyless completion bash)                                  # for this shell only
  keyless completion fish > ~/.config/fish/completions/keyless.fish

exit codes: 0 printed, 2 usage."""


def run(argv: list[str]) -> int:
    """Run the verb."""
    words = list(argv)
    shell = words.pop() if words and not words[-1].startswith("-") else ""
    try:
        options = parse_options("completion", words, flags=("--json",))
    except HelpRequested:
        help_page(HELP)
        return 0
    if "--json" in options.flags and not shell:
        json_data([asdict(command) for command in commands()])
        return 0
    if shell not in _SCRIPTS or options.flags:
        raise UsageError(f"keyless completion needs one of {', '.join(_SCRIPTS)}")
    data(_SCRIPTS[shell]())
    return 0


def _offered(command: Command) -> list[str]:
    """Return what may stand next: a verb below, or an option."""
    return [*command.below, *(option.name for option in command.options)]


def _valued(command: Command) -> list[Option]:
    return [option for option in command.options if option.value]


def _top(found: list[Command]) -> Command:
    """Return the program itself, as a command whose verbs are below it."""
    verbs = tuple(command.words[0] for command in found if len(command.words) == 1)
    return Command((), "", (Option("--help"), Option("--version")), (*verbs, "help"))


def _bash() -> str:
    found = commands()
    known = "|".join(_quote(" ".join(command.words)) for command in found)
    values, nexts = [], []
    for command in (_top(found), *found):
        path = " ".join(command.words)
        for option in _valued(command):
            place = "files=y" if option.wants_file else f"words={_quote(' '.join(option.choices))}"
            values.append(f"        {_quote(f'{path} {option.name}')}) {place} ;;")
        nexts.append(f"        {_quote(path)}) words={_quote(' '.join(_offered(command)))} ;;")
    return f"""\
# keyless completion for bash
_keyless() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" path='' words='' files='' i
    COMPREPLY=()
    for (( i = 1; i < COMP_CWORD; i++ )); do
        [ "${{COMP_WORDS[i]}}" = -- ] && {{ COMPREPLY=( $(compgen -c -- "$word") ); return; }}
        case "${{path:+$path }}${{COMP_WORDS[i]}}" in
        {known}) path="${{path:+$path }}${{COMP_WORDS[i]}}" ;;
        esac
    done
    case "$path $before" in
{_lines(values)}
    *) case "$path" in
{_lines(nexts)}
        esac
        [[ "$word" == -* ]] || files=y ;;
    esac
    COMPREPLY=( $(compgen -W "$words" -- "$word") )
    [ -z "$files" ] || compopt -o default 2>/dev/null
}}
complete -F _keyless keyless"""


def _zsh() -> str:
    found = commands()
    known = "|".join(_quote(" ".join(command.words)) for command in found)
    values, nexts = [], []
    summaries = {command.words: command.summary for command in found}
    for command in (_top(found), *found):
        path = " ".join(command.words)
        for option in _valued(command):
            does = (
                "_files" if option.wants_file else f"compadd -- {' '.join(option.choices)}" if option.choices else ":"
            )
            values.append(f"        {_quote(f'{path} {option.name}')}) {does}; return ;;")
        told = [_described(word, summaries.get((*command.words, word), "")) for word in command.below]
        told += [_described(option.name, option.summary) for option in command.options]
        nexts.append(f"        {_quote(path)}) offered=({' '.join(told)}) ;;")
    return f"""\
#compdef keyless
_keyless() {{
    local at='' i
    local -a offered
    for (( i = 2; i < CURRENT; i++ )); do
        if [[ "$words[i]" == -- ]]; then
            words=("${{(@)words[i+1,-1]}}") CURRENT=$(( CURRENT - i ))
            _normal
            return
        fi
        case "${{at:+$at }}$words[i]" in
        {known}) at="${{at:+$at }}$words[i]" ;;
        esac
    done
    case "$at $words[CURRENT-1]" in
{_lines(values)}
    esac
    case "$at" in
{_lines(nexts)}
    esac
    _describe -o keyless offered
    [[ "$PREFIX" == -* ]] || _files
}}
if [ "$funcstack[1]" = _keyless ]; then
    _keyless "$@"
else
    compdef _keyless keyless
fi"""


def _described(word: str, summary: str) -> str:
    return _quote(f"{word}:{summary}" if summary else word)


def _fish() -> str:
    found = commands()
    known = " ".join(_fish_quote(" ".join(command.words)) for command in found)
    lines = [
        f"""\
# keyless completion for fish
function __keyless_at
    set -l path ''
    for word in (commandline -opc)[2..-1]
        set -l longer (string trim -- "$path $word")
        contains -- $longer {known}; and set path $longer
    end
    test "$path" = "$argv"
end
complete -c keyless -f"""
    ]
    summaries = {command.words: command.summary for command in found}
    for command in (_top(found), *found):
        path = " ".join(command.words)
        at = f"complete -c keyless -n {_fish_quote(f'__keyless_at {path}'.strip())}"
        for word in command.below:
            lines.append(f"{at} -a {word} -d {_fish_quote(summaries.get((*command.words, word), ''))}")
        for option in command.options:
            line = f"{at} -l {option.name.removeprefix('--')} -d {_fish_quote(option.summary)}"
            if option.value:
                line += " -r -F" if option.wants_file else " -x"
            if option.choices:
                line += f" -a {_fish_quote(' '.join(option.choices))}"
            lines.append(line)
    return "\n".join(lines)


def _lines(found: list[str]) -> str:
    return "\n".join(found)


def _quote(text: str) -> str:
    escaped = text.replace("'", "'\\''")
    return f"'{escaped}'"


def _fish_quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SCRIPTS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
