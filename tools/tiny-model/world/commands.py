"""The commands of Corral."""

from __future__ import annotations

from .intent import Case, Intent
from .reader import read

MEANINGS = {
    "corral serve": "starts the server",
    "corral run": "chats with a model in the terminal",
    "corral list": "lists the models",
    "corral ps": "shows the running models",
    "corral stop": "unloads a model",
    "corral show": "shows the details of a model",
    "corral version": "prints the version of Corral",
    "corral config": "works on the configuration",
    "corral config check": "checks the configuration",
    "corral config schema": "prints the schema of the configuration",
    "corral config docs": "prints the documentation of the configuration",
    "corral config example": "prints an example configuration",
    "corral config export": "exports the configuration",
}


def meaning_cases() -> list[Case]:
    """What each command does, however it is quoted."""
    return [Case({"command": shown, "short": command.removeprefix("corral ")},
                 f"`{command}` {meaning}.")
            for command, meaning in MEANINGS.items()
            for shown in (command, f"`{command}`", f'"{command}"')]


def commands() -> list[Intent]:
    """All intents about commands."""
    return read("commands", "commands", {"meaning": meaning_cases()})
