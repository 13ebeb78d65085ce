#!/usr/bin/env python
"""The operator's command line."""

import gc
import json
import os
import signal
import sys
from io import TextIOWrapper
from textwrap import fill

from django.core.exceptions import ImproperlyConfigured
from django.core.management import ManagementUtility, get_commands, load_command_class
from django.db import Error, connection

from maim.doctor import findings

WIDTH = 100
LIBRARIES = ("django", "rest_framework", "drf_spectacular")


class CommandLine(ManagementUtility):
    """Django's command line, whose help begins with maim's own commands."""

    def main_help_text(self, commands_only: bool = False) -> str:
        if commands_only:
            return super().main_help_text(commands_only)
        commands = get_commands()
        ours = sorted(
            name for name, app in commands.items() if not str(app).startswith(LIBRARIES) and name != "runserver"
        )
        others = ", ".join(sorted(set(commands).difference(ours)))
        return "\n".join(
            [
                "The commands of maim (`manage.py help COMMAND` tells more of each):",
                "",
                *(_help_line(name, load_command_class(commands[name], name).help) for name in ours),
                "",
                fill(f"The commands of Django: {others}", WIDTH),
            ]
        )


def _help_line(name: str, text: str) -> str:
    return fill(text, WIDTH, initial_indent=f"  {name:18}", subsequent_indent=" " * 20)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
    gc.disable()  # until the apps are loaded (core.apps): looking for garbage is a seventh of a start and finds none
    _open_missing_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal cannot show is escaped
    try:
        try:
            _execute()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted\n")
        sys.exit(128 + signal.SIGINT)
    except UnicodeEncodeError:
        if all(map(_is_utf8, sys.argv)):
            raise
        sys.stderr.write("An argument of the command line is not UTF-8\n")
        sys.exit(2)
    except BrokenPipeError:  # whoever reads the output has enough of it, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes at its end
        sys.exit(128 + signal.SIGPIPE)


def _open_missing_streams() -> None:
    """Open the standard streams that whoever starts this has closed, for which Python has None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # for the whole process


def _is_utf8(argument: str) -> bool:
    """Return whether the bytes of an argument were UTF-8, in place of which Python has surrogates otherwise."""
    return not any("\udc80" <= char <= "\udcff" for char in argument)


def _execute() -> None:
    """Run the command. Exit with a sentence about an environment or a database with which it cannot."""
    try:
        CommandLine(sys.argv).execute()
    except ImproperlyConfigured as error:
        if sys.argv[1:2] == ["doctor"]:
            _diagnose(error)
        sys.exit(f"{error}")
    except Error as error:
        if _database_answers():
            raise
        sys.exit(f"The database does not answer: {error}")


def _diagnose(error: ImproperlyConfigured) -> None:
    """Write what `doctor` finds about an environment with which its own code cannot be loaded, and exit."""
    found = findings.of_environment(error)
    if "--json" in sys.argv:
        text = json.dumps(findings.document(found), indent=2)
    else:
        lines = [f"{finding.level.name.lower()}  {finding.check}  {finding.found}" for finding in found]
        text = "\n".join([*lines, "", found[0].advice])
    sys.stdout.write(f"{text}\n")
    sys.exit(findings.exit_code(found))


def _database_answers() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


if __name__ == "__main__":
    main()
