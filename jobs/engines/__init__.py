"""Engines: where attempts of jobs run (see ``jobs.engine``)."""
