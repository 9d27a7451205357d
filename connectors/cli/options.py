"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsOption = Annotated[str, typer.Option("--as", envvar="HES_OPERATOR", help="the operator who signs", show_default=False)]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", envvar="HES_OPERATOR_KEY", help="the operator's private key, PEM; default: by the name in --as"),
]
