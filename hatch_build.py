"""Say where the parts of MageFlow that the face depends on come from.

In a checkout they are its folders, so that ``pip install '.[NAME]'`` takes what lies here and never
an older release from an index. With ``MAGEFLOW_PINNED=1``, set where wheels are built and where the
parts are installed editable, they are releases of this very version.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class LocalParts(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        root = Path(self.root)
        if (root / "PKG-INFO").is_file():
            return  # an unpacked sdist: hatchling has read the requirements there
        adapters = sorted(path.parent for path in root.glob("adapters/*/pyproject.toml"))
        metadata["dependencies"] = [requirement(root / "mageflow_core"), *self.config["requires"]]
        metadata["optional-dependencies"] = {path.name: [requirement(path)] for path in adapters}


def requirement(folder: Path) -> str:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    if os.environ.get("MAGEFLOW_PINNED") == "1":
        return f"{project['name']}=={project['version']}"
    return f"{project['name']} @ {folder.resolve().as_uri()}"
