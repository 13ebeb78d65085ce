from __future__ import annotations

from typing import Any

from core.commands.base import MaimCommand
from maim.server import housekeeping


class Command(MaimCommand):
    help = "Deletes expired sessions, heartbeats and usage log entries; `serve` does it every hour."

    def handle(self, *args: Any, **options: Any) -> None:
        for kind, number in housekeeping.sweep().items():
            self.stdout.write(f"{number} {kind}")
