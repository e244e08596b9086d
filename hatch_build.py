"""Make the description that PyPI shows: README.md with absolute addresses."""

import pathlib
import re

from hatchling.metadata.plugin.interface import MetadataHookInterface


class Description(MetadataHookInterface):
    """README.md, where its relative addresses lead to the files of this version."""

    def update(self, metadata: dict) -> None:
        """Set the field `readme`."""
        readme = (pathlib.Path(self.root) / "README.md").read_text(encoding="utf-8")
        repository, tag = metadata["urls"]["Repository"], f"v{metadata['version']}"
        for mark, files in ("!", "raw"), ("", "blob"):
            # [text](address), where the address is neither absolute nor on this page
            link = rf"(?<!!)({mark}\[[^\]]*\]\()(?!https?:|#)"
            readme = re.sub(link, rf"\g<1>{repository}/{files}/{tag}/", readme)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
