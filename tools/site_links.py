"""A hook of MkDocs: SECURITY.md is a page, and links that leave the site become plain text.

In a clone all links work, and `tests/contract/test_documents.py` checks each.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File

_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
_SECURITY = Path(__file__).parents[1] / "SECURITY.md"
_SECURITY_PAGE = "security.md"


def on_files(files: Any, *, config: Any) -> Any:
    """Add the page whose file lies beside the documents' folder, where code hosts look for it."""
    text = _SECURITY.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, _SECURITY_PAGE, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Keep a link only when its target is one of the documents."""
    folder = Path(config["docs_dir"]).resolve()
    here = folder / PurePosixPath(page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target == _SECURITY:
            return f"[{link[1]}]({os.path.relpath(folder / _SECURITY_PAGE, here)}{link[3] or ''})"
        inside = target.is_relative_to(folder) and target.is_file()
        return link[0] if inside else link[1]

    return _LINK.sub(kept, markdown)
