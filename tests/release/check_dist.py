"""Looks into what `python -m build` made: `python check_dist.py DIST`.

What twine doesn't look at: which files are in, and whether the README that the package carries can be read where its
pictures and the other files of the repository are not.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LARGEST = 3_000_000  # bytes of a wheel or sdist: three times what they have; a data set slipped in is more


def in_wheel(path: Path) -> tuple[set[str], str]:
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        return names, archive.read(metadata).decode()


def in_sdist(path: Path) -> tuple[set[str], str]:
    with tarfile.open(path) as archive:
        names = {PurePosixPath(member.name) for member in archive.getmembers() if member.isfile()}
        found = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert found is not None
        return {PurePosixPath(*name.parts[1:]).as_posix() for name in names}, found.read().decode()


def problems_of_wheel(names: set[str], version: str) -> list[str]:
    """Every file of the folder truetap, the licence, and nothing else."""
    info = f"truetap-{version}.dist-info"
    there = {file.relative_to(ROOT).as_posix() for file in (ROOT / "truetap").rglob("*") if file.is_file()}
    there = {name for name in there if "__pycache__" not in name}
    expected = there | {
        f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    wrong = [f"the wheel lacks {name}" for name in sorted(expected - names)]
    return wrong + [f"the wheel has {name}, which is no file of the package" for name in sorted(names - expected)]


def problems_of_sdist(names: set[str]) -> list[str]:
    needed = {"truetap/py.typed", "conftest.py", "Makefile", "LICENSE", "CITATION.cff", "README.md", "CHANGELOG.md"}
    wrong = [f"the sdist lacks {name}" for name in sorted(needed - names)]
    junk = [name for name in names if "__pycache__" in name or name.startswith((".git/", ".venv", "dist/", "runs/"))]
    return wrong + [f"the sdist has {name}" for name in sorted(junk)]


def problems_of_readme(shown: str) -> list[str]:
    """Relative links and pictures are gone; the code is that of README.md."""
    prose = CODE.sub("", shown)
    wrong = [f"a link to {target}" for target in re.findall(r"\]\(((?!https?:)[^)]*)\)", prose)]
    wrong += [f"a picture {tag}" for tag in re.findall(r"<img[^>]*>|!\[[^\n]*", prose) if "https://" not in tag]
    if CODE.findall(shown) != CODE.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        wrong.append("other code than README.md")
    if not shown.startswith("# truetap\n"):
        wrong.append(f"another beginning: {shown[:40]!r}")
    return [f"the README of the package has {each}" for each in wrong]


def main(folder: Path) -> list[str]:
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    wheel_names, wheel_metadata = in_wheel(wheel)
    sdist_names, sdist_metadata = in_sdist(sdist)
    said = Parser().parsestr(wheel_metadata)
    problems = problems_of_wheel(wheel_names, said["Version"]) + problems_of_sdist(sdist_names)
    problems += problems_of_readme(str(said.get_payload()))
    if wheel_metadata != sdist_metadata:
        problems.append("wheel and sdist have different metadata")
    problems += [
        f"{file.name} has {file.stat().st_size:,} bytes" for file in (wheel, sdist) if file.stat().st_size > LARGEST
    ]
    if not problems:
        print(f"truetap {said['Version']}: {len(wheel_names)} files in the wheel, {len(sdist_names)} in the sdist")
    return problems


if __name__ == "__main__":
    sys.exit("\n".join(main(Path(sys.argv[1]))) or 0)
