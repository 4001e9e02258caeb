"""A contract of our own for import-linter (it loads this file; `./dev` itself does not)."""

from __future__ import annotations

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

# Parts of the standard library that reach out of the process, ask the time, or draw lots.
IMPURE = frozenset(
    "asyncio concurrent ftplib http imaplib io logging multiprocessing os pathlib poplib random secrets select "
    "selectors shelve shutil signal smtplib socket socketserver sqlite3 ssl subprocess sys tempfile threading time "
    "urllib".split()
)


class PureContract(Contract):
    """Modules below `module` import only each other and the harmless part of the standard library."""

    type_name = "pure"

    module = fields.ModuleField()

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Every import that leaves the module and is not harmless."""
        root = self.module.name  # type: ignore[attr-defined]
        found = sorted(
            (module, imported)
            for module in {root, *graph.find_descendants(root)}
            for imported in graph.find_modules_directly_imported_by(module)
            if not (imported == root or imported.startswith(root + "."))
            and (imported.split(".")[0] not in sys.stdlib_module_names or imported.split(".")[0] in IMPURE)
        )
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line for each."""
        for module, imported in check.metadata["found"]:
            output.print_error(f"{module} imports {imported}", bold=False)
