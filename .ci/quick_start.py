"""Print the command lines in the section "Quick start" of README.md, one per line."""

import re
import sys
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
section = re.search(r"^## Quick start\s*$(.*?)(?=^## |\Z)", readme, re.S | re.M)
for block in re.findall(r"^```sh\s*$(.*?)^```", section.group(1) if section else "", re.S | re.M):
    sys.stdout.write(block.strip() + "\n")
