"""Seeds in files: `seeds/TARGET/*.hex`, an input a line; `#` begins a comment.

`built.hex` is what `build_seeds` makes, `found.hex` what coverage-guided runs found and minimised, `regressions.hex` what
once did harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "seeds"


def load(target: str) -> list[bytes]:
    """All seeds of a target, in the order of files and lines."""
    return [octets for path in sorted((FOLDER / target).glob("*.hex")) for octets in read(path)]


def read(path: Path) -> list[bytes]:
    """The inputs in one file."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="ascii").splitlines())
    return [b"" if line == "-" else bytes.fromhex(line) for line in lines if line]


def write(path: Path, inputs: Iterable[bytes], about: str = "") -> None:
    """Inputs as a file; the empty one is a dash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"# {about}"] if about else []
    lines += [octets.hex() or "-" for octets in inputs]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
