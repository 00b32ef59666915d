"""What the pages show is taken from examples that run, and what they point to is there."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = sorted([*ROOT.glob("docs/**/*.py"), *ROOT.glob("examples/**/*.py")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text("utf-8")):
            line = page.read_text("utf-8")[: match.start()].count("\n") + 1
            yield f"{page.relative_to(ROOT)}:{line}", match.group(1)


def is_part_of(block: str, source: str) -> bool:
    """Whether the lines stand there one after the other, at whatever indentation."""
    wanted = textwrap.dedent(block).splitlines()
    lines = source.splitlines()
    return any(
        textwrap.dedent("\n".join(lines[start : start + len(wanted)])).splitlines() == wanted
        for start in range(len(lines) - len(wanted) + 1)
        if lines[start].strip() == wanted[0].strip()
    )


@pytest.mark.parametrize(("place", "block"), [pytest.param(*each, id=each[0]) for each in blocks()])
def test_a_block_of_python_is_part_of_an_example_or_runs(
    place: str, block: str, tmp_path: Path
) -> None:
    if any(is_part_of(block, example.read_text("utf-8")) for example in EXAMPLES):
        return
    command = [sys.executable, "-W", "error", "-c", block]
    ran = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, f"{place} is in no example, and does not run: {ran.stderr}"


def test_a_changed_block_is_no_part_of_its_example() -> None:
    source = "def f():\n    x = 1\n\n    return x\n"
    assert is_part_of("x = 1\n\nreturn x\n", source)
    assert is_part_of("def f():\n    x = 1\n", source)
    assert not is_part_of("x = 2\n\nreturn x\n", source)
    assert not is_part_of("x = 1\nreturn x\n", source)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text("utf-8"))]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    found: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(page.read_text("utf-8"))]
        pages = [(page.parent / target).resolve() for target in targets if target.endswith(".md")]
        waiting += [each for each in pages if each.exists()]
    assert set(PAGES) <= found


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120


def test_the_readme_has_an_example_as_a_whole() -> None:
    (block,) = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    example = (ROOT / "examples" / "orders.py").read_text("utf-8")
    assert example.partition("\n\n")[2] == block
