"""Output in any locale, and to a reader that goes away; in processes of their own, for it is their standard streams."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAYS = """
import sys
from trainables.streams import steady_streams
steady_streams()
print(TEXT)
print(sys.getfilesystemencoding(), file=sys.stderr)
"""


def ran(code: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_what_an_encoding_lacks_is_written_plainly(encoding: str) -> None:
    done = ran(SAYS.replace("TEXT", "'0.5 ± 0.1 → 3 – é 🧬'"), PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    said = done.stdout.decode(encoding)
    assert said.startswith("0.5 +/- 0.1 -> 3 - " if encoding == "ascii" else "0.5 ± 0.1 -> 3 ")
    assert said.strip().endswith("\\U0001f9ec")


def test_a_locale_without_utf8_file_names_starts_the_command_again_with_them() -> None:
    done = ran(SAYS.replace("TEXT", "sys.argv"), LC_ALL="en_US.ISO-8859-1", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0
    assert done.stderr.strip() == b"utf-8"


def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path) -> None:
    code = SAYS.replace("print(TEXT)", "[print(i) for i in range(200_000)]\nopen(sys.argv[-1], 'w').write('done')")
    head = f'{sys.executable} -c "$CODE" end | head -1; echo ${{PIPESTATUS[0]}}; cat end'
    environment = {**os.environ, "CODE": code, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", head], env=environment, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.split() == ["0", "0", "done"], done.stderr


def test_closed_streams_are_no_error() -> None:
    code = SAYS.replace("TEXT", "'nobody reads this'")
    environment = {**os.environ, "CODE": code, "PYTHONPATH": str(ROOT)}
    shell = f'{sys.executable} -c "$CODE" >&- 2>&-; echo $?'
    done = subprocess.run(["bash", "-c", shell], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0", done.stderr
