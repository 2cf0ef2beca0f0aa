"""Completion of the command line by the shell: the scripts for bash, zsh and fish, and what they ask this program.

A script calls ``coarseparts`` with the words so far as arguments and the shell's name in the environment, ``VARIABLE``.
The words are compared and never printed: what is answered are names of this program alone, a line each, so that
nothing that a user has typed is read as a command. No answer means names of files, which the shell completes itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from coarseparts.cli import names
from coarseparts.system.files import write_whole
from coarseparts.system.problems import BadInput, Problem

VARIABLE = "_COARSEPARTS_COMPLETE"

SCRIPTS = {
    "bash": """\
_coarseparts_completion() {
    local IFS=$'\\n'
    COMPREPLY=( $(_COARSEPARTS_COMPLETE=bash "$1" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null) )
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]]; then compopt -o nospace; fi
}
complete -o default -F _coarseparts_completion coarseparts
""",
    "zsh": """\
#compdef coarseparts
_coarseparts_completion() {
    local -a lines
    lines=("${(@f)$(_COARSEPARTS_COMPLETE=zsh "${words[1]}" "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -z $lines[1] ]]; then _files
    elif [[ $lines[1] == *= ]]; then compadd -S '' -a lines
    else _describe coarseparts lines
    fi
}
compdef _coarseparts_completion coarseparts
""",
    "fish": """\
function __coarseparts_completion
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l lines (env _COARSEPARTS_COMPLETE=fish $before "$current" 2>/dev/null)
    if test (count $lines) -gt 0
        printf '%s\\n' $lines
    else
        __fish_complete_path "$current"
    end
end
complete -c coarseparts -f -a '(__coarseparts_completion)'
""",
}
"""By the shell's name, the script that makes it ask."""

_PLACES = {
    "bash": (".local/share/coarseparts/completion.bash", ".bashrc", ""),
    "zsh": (".local/share/coarseparts/completion.zsh", ".zshrc", "autoload -Uz compinit && compinit; "),
    "fish": (".config/fish/completions/coarseparts.fish", "", ""),
}
"""In the home folder: the script's file, the file that has to name it, what has to be done there first."""

_ONE_OF = {
    "--device": ("auto", "cpu", "cuda"),
    "--weights": ("random", "imagenet"),
    "--method": names.METHODS,
    "--preset": names.PRESETS,
    "benchmark --preset": (*names.PRESETS, names.PUBLISHED),
    "--sampler": names.SAMPLERS,
    "--by": names.ORDERS,
    "--label": ("part-mask", "any"),
    "benchmark --split": ("val", "test"),
    "evaluate --split": ("train", "val", "test"),
    "--model": ("part", "posterior"),
    "--neck": ("head", "drop"),
    "--body": ("torso", "rest"),
    "--export": names.EXPORTS,
    "--to": names.EXPORTS,
    "export --to": names.TARGETS,
    "--set": tuple(f"{key}=" for key in names.SETTINGS),
    "--over": tuple(f"{key}=" for key in names.SETTINGS),
}
"""Values of an option, or of a verb's option."""

_SEVERAL_OF = {
    "--methods": names.METHODS,
    "--starts": names.STARTS,
    "--labels-each": names.EACH,
    "train --labels": names.STYLES,
    "compare --labels": names.STYLES,
    "benchmark --labels": ("all", *names.STYLES),
}
"""What a list with commas may hold."""


def answer(shell: str, words: Sequence[str], top: Any) -> None:
    """Prints what may stand in place of the last of ``words``, for a shell of ``SCRIPTS``; ``top``: the command."""
    for value, text in _candidates(top, _joined(words) if shell == "bash" else list(words)):
        if shell == "bash" or not text:
            print(value)
        else:
            print(f"{value}\t{text}" if shell == "fish" else f"{value.replace(':', chr(92) + ':')}:{text}")


def show() -> None:
    """Prints the script for the shell of the environment; raises BadInput where there is none for it."""
    print(SCRIPTS[_shell("--show-completion")], end="")


def install() -> Path:
    """Writes the script where the shell of the environment finds it, and returns its path.

    Raises BadInput for another shell than those of ``SCRIPTS``, OSError where the files cannot be written.
    """
    shell = _shell("--install-completion")
    place, names_it, first = _PLACES[shell]
    script = Path.home() / place
    write_whole(script, SCRIPTS[shell].encode())
    if names_it:
        line = f"{first}[ -r ~/{place} ] && source ~/{place}\n".encode()
        start = Path.home() / names_it
        before = start.read_bytes() if start.exists() else b""
        if line not in before:
            with start.open("ab") as file:
                file.write(line if not before or before.endswith(b"\n") else b"\n" + line)
    return script


def _shell(option: str) -> str:
    path = os.environ.get("SHELL", "")
    shell = Path(path).name
    if shell not in SCRIPTS:
        what = f"knows {', '.join(SCRIPTS)}, and SHELL is {path or 'not set'}"
        raise BadInput(Problem(option, what, f"write e.g. SHELL=bash coarseparts {option}"))
    return shell


def _joined(words: Sequence[str]) -> list[str]:
    """bash parts "--set=batch" at its "=": as if it were "--set batch"."""
    kept: list[str] = []
    for i, word in enumerate(words):
        if word == "=" and kept and kept[-1].startswith("--"):
            kept += [""] if i == len(words) - 1 else []
        else:
            kept.append(word)
    return kept


def _candidates(top: Any, words: list[str]) -> list[tuple[str, str]]:
    """Pairs of what may stand in place of the last word and what it is, "" where nothing is known."""
    command, verb, before, incomplete = top, "", "", words[-1] if words else ""
    for word in words[:-1]:
        commands = _commands(command)
        if commands and not word.startswith("-") and before not in _valued(command):
            if word not in commands:
                return []
            command, verb = command.verb(word), verb or word
        before = word
    option, equals, value = incomplete.partition("=")
    if before in _valued(command):
        return _values(verb, before, incomplete)
    if option.startswith("--") and equals:
        return [(f"{option}={each}", text) for each, text in _values(verb, option, value)]
    if incomplete.startswith("-"):
        known = [(name, option.help or "") for option in _options(command) for name in option.opts]
        return [pair for pair in [*known, ("--help", "")] if pair[0].startswith(incomplete)]
    if commands := _commands(command):
        return [(name, command.get_command(None, name).help) for name in commands if name.startswith(incomplete)]
    if verb in ("benchmark", "sweep") and incomplete:  # where nothing is typed a data set's file may be meant
        return [(world, "") for world in names.WORLDS if world.startswith(incomplete)]
    return []


def _commands(command: Any) -> list[str]:
    """The names of a group's commands."""
    return command.list_commands(None) if hasattr(command, "list_commands") else []


def _options(command: Any) -> list[Any]:
    return [param for param in command.params if param.param_type_name == "option"]


def _valued(command: Any) -> list[str]:
    """The options that take a value."""
    return [name for option in _options(command) if not option.is_flag for name in option.opts]


def _values(verb: str, option: str, incomplete: str) -> list[tuple[str, str]]:
    if several := _SEVERAL_OF.get(f"{verb} {option}", _SEVERAL_OF.get(option)):
        *chosen, last = incomplete.split(",")
        if not set(chosen) <= set(several):
            return []
        start = "".join(f"{name}," for name in chosen)
        return [(start + name, "") for name in several if name.startswith(last) and name not in chosen]
    one = _ONE_OF.get(f"{verb} {option}", _ONE_OF.get(option, ()))
    return [(name, "") for name in one if name.startswith(incomplete)]
