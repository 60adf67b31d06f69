"""clipmill completion: print the script that lets a shell complete clipmill's commands."""

from argparse import Namespace
from typing import Any

SHELLS = ("bash", "zsh", "fish")


def add_verbs(verbs: Any) -> None:
    parser = verbs.add_parser(
        "completion",
        description="Print a script that completes verbs, options, recipes, knobs and their values, stores, "
        "runs, steps and ids with the Tab key. bash: add to ~/.bashrc: source <(clipmill completion bash). "
        "zsh: add to ~/.zshrc after compinit: source <(clipmill completion zsh). fish: clipmill completion "
        "fish > ~/.config/fish/completions/clipmill.fish",
        epilog="example:\n  clipmill completion bash > ~/.local/share/bash-completion/completions/clipmill",
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(func=print_script)


def print_script(args: Namespace) -> None:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["clipmill"], shell=args.shell).lstrip("\n"))
