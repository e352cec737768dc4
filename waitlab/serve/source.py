"""Which code an application is: one hash over its own source, so that two versions of it cannot be taken for one."""

import hashlib
from pathlib import Path


def digest(module_file: Path) -> str:
    """Of every Python file beside and below the module's, where it is part of a package; else of its own file alone."""
    folder = module_file.parent
    files = sorted(folder.rglob("*.py")) if (folder / "__init__.py").exists() else [module_file]
    found = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        found.update(f"{file.relative_to(folder)} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]
