"""MkDocs hook: add SECURITY.md as a page, and turn links that leave the site into plain text.

In a clone of the repository all links work; `tests/contract/test_documents.py` checks them.
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
    """Add SECURITY.md, which code hosts expect outside the folder of the docs."""
    text = _SECURITY.read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, _SECURITY_PAGE, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Keep a link only if its target is in the docs."""
    folder = Path(config["docs_dir"]).resolve()
    here = folder / PurePosixPath(page.file.src_uri).parent

    def replace_link(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        if target == _SECURITY:
            return f"[{link[1]}]({os.path.relpath(folder / _SECURITY_PAGE, here)}{link[3] or ''})"
        is_in_docs = target.is_relative_to(folder) and target.is_file()
        return link[0] if is_in_docs else link[1]

    return _LINK.sub(replace_link, markdown)
