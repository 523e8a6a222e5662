"""Results at rest: Parquet batches are the truth, the DuckDB file an index rebuilt from them.

``spool``, ``batch`` and ``check`` (Parquet only) serve the compute side; ``connection``, ``ingest``, ``queries`` and
``transfer`` those who read. Importing this package loads none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sciml_backend.store.connection import Store


def open_store() -> Store:
    """The index of this process, up to date; raises BadRequest when another process owns it."""
    from sciml_backend.store.connection import Store

    return Store.open()
