"""Results at rest: Parquet batches are the truth, the DuckDB file an index rebuilt from them.

``spool`` and ``batch`` (Parquet only) serve the compute side; ``connection``, ``ingest`` and ``queries`` the owner of
the index. Importing this package loads neither.
"""
