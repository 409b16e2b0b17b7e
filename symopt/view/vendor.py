"""Fetch the page's JavaScript libraries anew: python -m symopt.view.vendor [NAME=VERSION ...].

Each comes from its npm package, by `npm pack`, at the version that assets/VENDORED.toml says or the one given; its file
and licence are written to assets/, and their digests to VENDORED.toml. Nothing of the library imports this.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from ..errors import FormatError, SymoptError
from ..files import write_whole

ASSETS = Path(__file__).parent / "assets"
LIST = ASSETS / "VENDORED.toml"
HEAD = "# Libraries of others that every page holds. Written by: python -m symopt.view.vendor\n"
KEYS = (
    "package",
    "version",
    "spdx",
    "copyright",
    "from",
    "sha256",
    "licence",
    "licence_from",
    "licence_sha256",
)


def vendored() -> dict[str, dict[str, str]]:
    """What VENDORED.toml says, by the name of the file in assets/."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> None:
    """Fetch every library, at the versions given as NAME=VERSION."""
    versions = dict(argument.partition("=")[::2] for argument in arguments)
    entries = vendored()
    unknown = set(versions) - {entry["package"] for entry in entries.values()}
    if unknown:
        raise FormatError(f"{LIST.name} has no package {', '.join(sorted(unknown))}")
    for file, entry in entries.items():
        entry["version"] = versions.get(entry["package"], entry["version"])
        contents = fetch(f"{entry['package']}@{entry['version']}", (entry["from"], entry["licence_from"]))
        entry["sha256"], entry["licence_sha256"] = map(digest, contents)
        write_whole(ASSETS / file, contents[0])
        write_whole(ASSETS / entry["licence"], contents[1])
    write_whole(LIST, as_toml(entries).encode())


def fetch(package: str, names: tuple[str, ...]) -> list[bytes]:
    """Files of an npm package, by their paths in it. Nothing of it is run."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", folder, package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            raise SymoptError(f"npm pack {package} failed: {done.stderr.strip()}")
        with tarfile.open(packed[0]) as archive:
            return [_member(archive, f"package/{name}") for name in names]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise FormatError(f"{name} is no file of its package")
    return file.read()


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def as_toml(entries: dict[str, dict[str, Any]]) -> str:
    """The text of VENDORED.toml."""
    tables = []
    for file, entry in entries.items():
        lines = "".join(f'{key} = "{entry[key]}"\n' for key in KEYS)
        tables.append(f'["{file}"]\n{lines}')
    return "\n".join([HEAD, *tables])


if __name__ == "__main__":
    main(sys.argv[1:])
