"""The catalogue finds entries by themselves: ours, and people's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sciml_backend import catalog
from sciml_backend.catalog_record import record
from sciml_backend.run import BadRequest

ROOT = Path(__file__).resolve().parents[1]

PLUGIN = '''
"""Slow convection; a test's own problem."""
from sciml_backend.problems.convection import Convection


class Slow(Convection):
    """Convection by another name."""

    label = "Slow convection"
'''


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **env}, timeout=120
    )


def test_every_file_of_the_catalogue_is_an_entry() -> None:
    for kind in catalog.CONTRACTS:
        folder = ROOT / "sciml_backend" / kind
        assert set(catalog.entries(kind)) == {p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")}


def test_every_entry_says_what_it_is() -> None:
    for kind in catalog.CONTRACTS:
        for entry in catalog.entries(kind).values():
            assert entry.doc.strip() and entry.label, entry


def test_every_setting_says_what_it_means() -> None:
    found = record()
    for kind in ("strategies", "models", "diagnostics"):
        for name, entry in found[kind].items():
            assert all(setting["doc"] for setting in entry["settings"].values()), (name, entry["settings"])
    assert found["diagnostics"]["landscape"]["settings"]["radius"]["default"] == 0.5
    assert set(found["models"]["mlp"]["settings"]) == {"width", "depth", "features", "frequency", "start"}


def test_an_unknown_name_gets_the_known_ones() -> None:
    with pytest.raises(BadRequest, match="no strategy 'lbgfs'; there are .*lbfgs"):
        catalog.entry("strategies", "lbgfs")
    with pytest.raises(BadRequest, match="no family 'pin'; there are .*pinn"):
        catalog.family("pin")


PLAN = """
import json
from sciml_backend import sweep
from sciml_backend.run import MapName
(spec,) = sweep.plan(MapName("pinn", "slow", "lbfgs"), coefficients={"beta": [5]}, data=[100])
print(json.dumps([spec.plugin, spec.variant, spec.cell_id]))
"""


def test_a_plugin_is_found_and_its_content_is_part_of_its_cells_identity(tmp_path: Path) -> None:
    (tmp_path / "problems").mkdir()
    file = tmp_path / "problems" / "slow.py"
    identities = set()
    for text in (PLUGIN, PLUGIN + "\n# changed\n", PLUGIN):
        file.write_text(text)
        done = run(PLAN, ATLAS_PLUGINS=str(tmp_path))
        assert done.returncode == 0, done.stderr
        plugin, variant, cell = json.loads(done.stdout)
        assert plugin and not variant, "a map keeps its name whatever its plugin's content"
        identities.add((plugin, variant, cell))
    assert len(identities) == 2


def test_the_content_of_a_strategy_that_settings_name_is_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    identities = set()
    for text in ("", "\n# changed\n", ""):
        (tmp_path / "strategies" / "mine.py").write_text(STRATEGY + text)
        for asked in ('{"before": "mine"}', '{"inner": "mine"}', "{}"):
            done = run(WITHIN.format(asked), ATLAS_PLUGINS=str(tmp_path))
            assert done.returncode == 0, done.stderr
            plugin, cell = json.loads(done.stdout)
            assert bool(plugin) == (asked != "{}")
            identities.add((asked, plugin, cell))
    assert len(identities) == 5


def test_the_content_of_a_strategy_that_another_plugin_holds_is_part_of_the_identity(tmp_path: Path) -> None:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "rounds.py").write_text(HOLDER)
    cells = set()
    for text in ("", "\n# changed\n", ""):
        (tmp_path / "strategies" / "mine.py").write_text(STRATEGY + text)
        done = run(WITHIN.replace('"alm"', '"rounds"').format("{}"), ATLAS_PLUGINS=str(tmp_path))
        assert done.returncode == 0, done.stderr
        plugin, cell = json.loads(done.stdout)
        assert plugin.count("-") == 1
        cells.add(cell)
    assert len(cells) == 2


HOLDER = '''
"""Curriculum learning with a strategy of one's own within."""
from dataclasses import dataclass

from sciml_backend.strategies.cl import CL
from sciml_backend.strategy import part


@dataclass(frozen=True, kw_only=True)
class Rounds(CL):
    """Curriculum learning with a strategy of one's own within."""

    label = "Rounds"
    inner: object = part("mine", "what trains")
'''
STRATEGY = '''
"""Adam by another name; a test's own strategy."""
from sciml_backend.strategies.adam import Adam


class Mine(Adam):
    """Adam by another name."""

    label = "Mine"
'''
WITHIN = """
import json
from sciml_backend.plan import plan
from sciml_backend.run import MapName
(spec,) = plan(MapName("pinn", "convection", "alm"), coefficients={{"beta": [5]}}, data=[100], settings={})
print(json.dumps([spec.plugin, spec.cell_id]))
"""


def test_an_installed_distribution_can_bring_a_problem(tmp_path: Path) -> None:
    (tmp_path / "slow_physics.py").write_text(PLUGIN)
    info = tmp_path / "slow_physics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-physics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[regime_atlas.problems]\nslow = slow_physics:Slow\n")
    done = run(PLAN, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    plugin, variant, _ = json.loads(done.stdout)
    assert plugin and not variant


@pytest.mark.parametrize(
    ("text", "words"),
    [("import nowhere\n", "cannot be loaded: ModuleNotFoundError"), ("class Slow: ...\n", "is no Problem")],
)
def test_an_installed_distribution_that_is_broken_is_named_in_one_sentence(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "slow_physics.py").write_text(text)
    info = tmp_path / "slow_physics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow-physics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[regime_atlas.problems]\nslow = slow_physics:Slow\n")
    done = run("from sciml_backend.__main__ import main; raise SystemExit(main(['catalog']))", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1\n", "defines no Problem"), ("raise RuntimeError('oops')\n", "cannot be loaded: RuntimeError: oops")],
)
def test_a_broken_plugin_gets_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "problems").mkdir()
    (tmp_path / "problems" / "broken.py").write_text(text)
    command = [sys.executable, "-m", "sciml_backend", "catalog"]
    env = {**os.environ, "ATLAS_PLUGINS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=120)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_the_compute_side_needs_no_page_and_no_database(tmp_path: Path) -> None:
    code = """
import sys
for name in ("streamlit", "plotly", "duckdb", "pyhessian", "tqdm"):
    sys.modules[name] = None
import sciml_backend.sweep, sciml_backend.store.spool, sciml_backend.catalog_record
sciml_backend.catalog_record.record()
from sciml_backend.__main__ import main
small = "--set beta=5 --data 50 --set width=8 --set depth=1 --set max_epochs=1".split()
sys.exit(main(["sweep", "pinn/convection/lbfgs", *small]) or main(["run", "pinn/convection/lbfgs", *small]))
"""
    done = run(code, ATLAS_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
