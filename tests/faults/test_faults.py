"""The rows of the fault programme, briefly; ``make faults`` runs all of them at length."""

import pytest

from tests.faults.rows import BRIEF, ROWS
from tests.faults.world import Impossible, World


@pytest.mark.parametrize("title", BRIEF)
def test_nothing_is_lost_or_doubled_and_nobody_is_left_behind(title, tmp_path):
    with World(tmp_path) as world:
        try:
            ROWS[title](world, 2)
        except Impossible as reason:
            pytest.skip(str(reason))
        audit = world.audit()
        assert audit.ok, audit
