"""Check the store's Lua scripts: syntax, names that are not defined, globals, and locals that nothing uses.

Redis reports such a fault only when it executes the line.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from luaparser import ast

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "app" / "store" / "scripts"
GLOBALS = {"ARGV", "KEYS", "cjson", "cmsgpack", "math", "redis", "string", "table"} | {
    *(
        "assert",
        "error",
        "ipairs",
        "next",
        "pairs",
        "pcall",
        "select",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    )
}
"""The names that Redis gives to a script."""


def faults_of(script: str) -> list[str]:
    """Find the faults of a script, each with its line."""
    try:
        tree = ast.parse(script)
    except ast.SyntaxException as error:
        return [str(error)]
    checker = _Checker()
    checker.visit(tree)
    return checker.faults


class _Checker:
    """A walk through a script that knows the locals of each block, from the outermost to the innermost."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._unused: list[dict[str, int]] = []
        """The lines of the locals that nothing has used yet, by block."""
        self._names: list[set[str]] = []
        self._line = 0

    def visit(self, node: Any) -> None:
        """Check a node and everything in it."""
        if isinstance(node, list | tuple):
            for each in node:
                self.visit(each)
        elif isinstance(node, ast.Node):
            self._line = node.line or self._line
            visit = getattr(self, f"_visit_{type(node).__name__}", self._visit_parts)
            visit(node)

    def _visit_parts(self, node: ast.Node) -> None:
        self.visit(list(vars(node).values()))

    def _visit_Block(self, node: Any) -> None:  # noqa: N802 - the node's name
        self._visit_scope(node.body)

    def _visit_LocalAssign(self, node: Any) -> None:  # noqa: N802
        self.visit(node.values)  # a local does not know itself yet
        self._declare(node.targets)

    def _visit_LocalFunction(self, node: Any) -> None:  # noqa: N802
        self._declare([node.name])
        self._visit_scope(node.body, node.args)

    def _visit_AnonymousFunction(self, node: Any) -> None:  # noqa: N802
        self._visit_scope(node.body, node.args)

    def _visit_Fornum(self, node: Any) -> None:  # noqa: N802
        self.visit([node.start, node.stop, node.step])
        self._visit_scope(node.body, [node.target])

    def _visit_Forin(self, node: Any) -> None:  # noqa: N802
        self.visit(node.iter)
        self._visit_scope(node.body, node.targets)

    def _visit_Repeat(self, node: Any) -> None:  # noqa: N802
        self._visit_scope([*node.body.body, node.test])  # the condition sees the locals of the body

    def _visit_Assign(self, node: Any) -> None:  # noqa: N802
        self.visit(node.values)
        for target in node.targets:
            if not isinstance(target, ast.Name):
                self.visit(target)
            elif not any(target.id in names for names in self._names):
                self._report(self._line, f"sets the global {target.id}")

    def _visit_Name(self, node: Any) -> None:  # noqa: N802
        for names, unused in zip(reversed(self._names), reversed(self._unused), strict=True):
            if node.id in names:
                unused.pop(node.id, None)
                return
        if node.id not in GLOBALS:
            self._report(self._line, f"{node.id} is not defined")

    def _visit_Index(self, node: Any) -> None:  # noqa: N802
        self.visit(node.value if node.notation == ast.IndexNotation.DOT else [node.value, node.idx])

    def _visit_Invoke(self, node: Any) -> None:  # noqa: N802
        self.visit([node.source, node.args])

    def _visit_Field(self, node: Any) -> None:  # noqa: N802
        self.visit([node.key, node.value] if node.between_brackets else node.value)

    def _visit_scope(self, nodes: Any, declared: Iterable[Any] = ()) -> None:
        self._names.append(set())
        self._unused.append({})
        self._declare(declared)
        self.visit(nodes)
        self._names.pop()
        for name, line in self._unused.pop().items():
            self._report(line, f"{name} is never used")

    def _declare(self, names: Iterable[Any]) -> None:
        for name in names:
            if not isinstance(name, ast.Name):  # the `...` of a function
                continue
            if (line := self._unused[-1].pop(name.id, 0)) and not name.id.startswith("_"):
                self._report(line, f"{name.id} is never used")
            self._names[-1].add(name.id)
            if not name.id.startswith("_"):
                self._unused[-1][name.id] = self._line

    def _report(self, line: int, fault: str) -> None:
        self.faults.append(f"line {line}: {fault}")


def main() -> int:
    """Print the faults of all scripts; return 1 if there are any."""
    faults = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in sorted(SCRIPTS.glob("*.lua"))
        for fault in faults_of(path.read_text())
    ]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
