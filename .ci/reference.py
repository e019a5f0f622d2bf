"""Writes the reference, pages made of the docstrings, to runs/reference.

It fails on a warning, and on a link that leads nowhere.
"""

import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import jax.typing
import pdoc

# stands in the signatures by its name, where pdoc would write out the union of eight
jax.typing.ArrayLike = type("ArrayLike", (), {"__module__": "builtins"})

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "runs" / "reference"


class Page(HTMLParser):
    """What a page may be linked at, and what it links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.places, self.links = {""}, []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.places.add(value)
            elif name == "href" and not value.startswith(("https:", "data:")):
                self.links.append(value)


def main() -> int:
    """Writes the pages; returns 1 if a link is broken."""
    warnings.simplefilter("error", UserWarning)
    pdoc.render.configure(docformat="google")
    pdoc.pdoc("clr_core", "clr_optax", output_directory=FOLDER)
    pages = {path.name: Page(path) for path in FOLDER.glob("*.html")}
    broken = []
    for name, page in pages.items():
        for link in page.links:
            target, _, place = link.partition("#")
            target = target.removeprefix("./") or name
            if target not in pages or place not in pages[target].places:
                broken.append(f"{name}: {link}")
    print(*broken, sep="\n", end="\n" if broken else "", file=sys.stderr)
    print(f"{FOLDER.relative_to(ROOT)}/clr_optax.html")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
