"""A hook of MkDocs: links that leave the documents become plain text: the site has no such page.

In a clone they work, and `tests/contract/test_documents.py` checks each.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Keep a link only when its target is one of the documents."""
    folder = Path(config["docs_dir"])
    here = folder / PurePosixPath(page.file.src_uri).parent

    def kept(link: re.Match[str]) -> str:
        target = (here / link[2]).resolve()
        inside = target.is_relative_to(folder.resolve()) and target.is_file()
        return link[0] if inside else link[1]

    return _LINK.sub(kept, markdown)
