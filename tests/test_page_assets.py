"""What every page holds of ours and of others: files, licences, digests; colours that can be read."""

import re
from pathlib import Path

import pytest

from symopt.errors import FormatError
from symopt.view import vendor
from symopt.view.page import SCRIPTS, STYLES
from symopt.view.vendor import ASSETS, as_toml, digest, vendored


def test_every_asset_is_used_and_own_files_are_short() -> None:
    entries = vendored()
    others = {*entries, *(entry["licence"] for entry in entries.values()), "VENDORED.toml", "page.html"}
    assert {p.name for p in ASSETS.iterdir()} == others | set(SCRIPTS) | set(STYLES)
    for name in (*SCRIPTS, *STYLES, "page.html"):
        text = (ASSETS / name).read_text()
        assert len(text.splitlines()) < 300 and not re.search(
            r"innerHTML|outerHTML|insertAdjacent|eval\(", text
        )


@pytest.mark.parametrize("file", vendored())
def test_libraries_are_the_ones_that_are_listed(file: str) -> None:
    entry = vendored()[file]
    assert digest((ASSETS / file).read_bytes()) == entry["sha256"]
    licence = (ASSETS / entry["licence"]).read_bytes()
    assert digest(licence) == entry["licence_sha256"]
    assert entry["spdx"] == "MIT" and entry["copyright"] in licence.decode()
    assert entry["version"] in (ASSETS / file).read_text()


def test_the_list_of_libraries_is_as_the_script_writes_it() -> None:
    assert as_toml(vendored()) == (ASSETS / "VENDORED.toml").read_text()


def test_fetching_rewrites_files_and_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def fetched(package: str, names: tuple[str, ...]) -> list[bytes]:
        asked.append((package, names))
        return [package.encode(), b"licence"]

    listed = as_toml(vendored())
    monkeypatch.setattr(vendor, "ASSETS", tmp_path)
    monkeypatch.setattr(vendor, "LIST", tmp_path / "VENDORED.toml")
    monkeypatch.setattr(vendor, "fetch", fetched)
    (tmp_path / "VENDORED.toml").write_text(listed)
    vendor.main(["cytoscape=4.0.0"])
    assert asked[0] == ("cytoscape@4.0.0", ("dist/cytoscape.min.js", "LICENSE"))
    new = vendored()["cytoscape.min.js"]
    assert (new["version"], new["sha256"]) == ("4.0.0", digest(b"cytoscape@4.0.0"))
    assert (tmp_path / "cytoscape.min.js").read_bytes() == b"cytoscape@4.0.0"
    with pytest.raises(FormatError, match="no package d3"):
        vendor.main(["d3=7"])


# ---- colours: WCAG's contrast


def luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme: int) -> None:
    block = re.findall(r"\{([^}]*)\}", (ASSETS / "colours.css").read_text())[theme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
    kinds = ("variable", "state", "number", "op", "primitive", "kernel", "array", "box")
    texts = [(f"{kind}-text", f"{kind}-fill") for kind in kinds]
    texts += [
        (text, ground) for text in ("text", "muted", "accent") for ground in ("ground", "surface", "code")
    ]
    texts += [("accent-text", "accent"), ("muted", "frame")]
    lines = [(f"{kind}-line", "ground") for kind in kinds]
    lines += [(x, "ground") for x in ("edge", "into", "from", "focus", "control")]
    assert {pair: c for pair in texts if (c := contrast(colours[pair[0]], colours[pair[1]])) < 4.5} == {}
    assert {pair: c for pair in lines if (c := contrast(colours[pair[0]], colours[pair[1]])) < 3} == {}
