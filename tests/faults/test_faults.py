"""Each row of the fault programme, briefly; ``make faults`` runs it at length."""

import os

import pytest

from tests.faults.rows import ROWS
from tests.faults.world import World


@pytest.mark.parametrize("title", ROWS)
def test_nothing_is_lost_or_doubled_and_nobody_is_left_behind(title, tmp_path, monkeypatch):
    for name in ("ATLAS_DATA", "ATLAS_RESULTS", "ATLAS_PLUGINS", "ATLAS_WORKERS", "PYTHONPATH"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # given back after the test
    world = World(tmp_path)
    ROWS[title](world, 2)
    audit = world.audit()
    assert audit.ok, audit
