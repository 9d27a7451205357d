"""How a command ends badly: one sentence, the likely cause, what to try."""

from __future__ import annotations

DONE_WITH_FAILURES = 1
USAGE = 2
CANNOT_CONNECT = 3


class CommandError(Exception):
    """Ends the command with a message and an exit code. `mend` is what to try."""

    def __init__(self, what: str, *, mend: str = "", exit_code: int = DONE_WITH_FAILURES) -> None:
        super().__init__(what)
        self.mend = mend
        self.exit_code = exit_code


def usage(what: str, mend: str = "") -> CommandError:
    """The error of a command line that says something it cannot mean."""
    return CommandError(what, mend=mend, exit_code=USAGE)


def unreachable(
    what: str, mend: str = "start it (`hes local up`), or set where it is (`hes doctor --settings` shows the settings)"
) -> CommandError:
    """The error of something that does not answer."""
    return CommandError(what, mend=mend, exit_code=CANNOT_CONNECT)
