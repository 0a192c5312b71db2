"""Every name of Qt or QGIS that the plugin's source spells out, to be looked up in a real Qt or QGIS.

Enum members are where Qt 5 and 6, and QGIS 3 and 4, differ most; a wrong one is found only when its line runs. Here all
of them are found: chains such as ``Qt.ItemDataRole.UserRole`` that begin with an imported name.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PLUGIN = Path(__file__).resolve().parents[1] / "plugin"


def sources() -> list[Path]:
    """The plugin's modules."""
    return sorted(PLUGIN.rglob("*.py"))


def unresolved(modules: tuple[str, ...], load: Callable[[str], Any]) -> list[str]:
    """Names used in the plugin that are not where it looks for them: ``file:line: Qt.ItemDataRole.Nonsense``.

    Args:
        modules: beginnings of the names of the modules that are looked into, such as ``qgis.PyQt.``.
        load: gives the module of that name.
    """
    return [
        f"{path.relative_to(PLUGIN.parent)}:{line}: {'.'.join(chain)}"
        for path in sources()
        for line, module, chain in _chains(ast.parse(path.read_text(encoding="utf-8")), modules)
        if not _resolves(load(module), chain)
    ]


def _chains(tree: ast.Module, modules: tuple[str, ...]) -> Iterator[tuple[int, str, list[str]]]:
    """Line, module and chain of names of each use of something imported from one of the modules."""
    origin = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0 and node.module.startswith(modules)
        for alias in node.names
    }
    for node in ast.walk(tree):
        names: list[str] = []
        part: ast.AST = node
        while isinstance(part, ast.Attribute):
            names.insert(0, part.attr)
            part = part.value
        if isinstance(part, ast.Name) and part.id in origin:
            module, name = origin[part.id]
            yield node.lineno, module, [name, *names]


def _resolves(module: Any, chain: list[str]) -> bool:
    """Whether the chain leads somewhere; what an object rather than a class holds is seen only when it runs."""
    found = module
    for name in chain:
        if found is not module and not isinstance(found, type):
            return True
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True
