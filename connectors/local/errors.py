"""What can go wrong on this machine, said so that the reader can mend it."""

from __future__ import annotations


class LocalError(Exception):
    """One sentence that says what happened, and one that says what to do; `str()` gives both."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(f"{what}; {mend}" if mend else what)
        self.what = what
        self.mend = mend
