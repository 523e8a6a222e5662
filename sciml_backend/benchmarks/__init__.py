"""Benchmarks: how fast this is, measured beside the textbook way in one process; ``python -m sciml_backend bench``."""
