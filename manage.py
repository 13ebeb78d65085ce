#!/usr/bin/env python
"""The operator's command line."""

import gc
import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import Error, connection


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "maim.settings")
    gc.disable()  # until the apps are loaded (core.apps): looking for garbage is a seventh of a start and finds none
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"{error}")
    except Error as error:
        if _database_answers():
            raise
        sys.exit(f"The database does not answer: {error}")


def _database_answers() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


if __name__ == "__main__":
    main()
