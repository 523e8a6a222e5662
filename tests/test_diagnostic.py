import pytest
import torch

from sciml_backend.diagnostic import FEW_VECTORS, affordable_steps
from sciml_backend.diagnostics.spectrum import Spectrum
from sciml_backend.run import Artifact, BadRequest


def test_settings_by_name():
    spectrum = Spectrum.of({"steps": 20, "width": 1})
    assert spectrum.steps == 20 and spectrum.width == 1.0
    assert Spectrum.of(spectrum.settings()) == spectrum
    assert Spectrum.defaults()["probes"] == 4


def test_a_whole_number_is_the_same_setting_as_its_float():
    keys = {
        Artifact(cell_id="", kind="spectrum", settings=Spectrum.of({"width": width}).settings()).request_key
        for width in (1, 1.0)
    }
    assert len(keys) == 1


def test_what_was_computed_before_a_subset_could_be_asked_for_is_still_found():
    def key(settings):
        return Artifact(cell_id="", kind="spectrum", settings=settings).request_key

    every = Spectrum().settings()
    before = {name: value for name, value in every.items() if name != "data"}
    assert every["data"] == 0 and key(every) == key(before)
    assert key(every | {"data": 64}) != key(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": 3}, "no setting 'step'"),
        ({"steps": "3"}, "must be of type int"),
        ({"steps": 2.5}, "must be of type int"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(BadRequest, match=message):
        Spectrum.of(settings)


def test_steps_fit_the_network_and_the_memory():
    assert affordable_steps(100, torch.empty(50)) == 50
    assert affordable_steps(100, torch.empty(5301)) == 100
    assert affordable_steps(100, torch.empty(200_000)) == FEW_VECTORS
    with pytest.raises(BadRequest, match="ask for fewer steps"):
        affordable_steps(1, torch.empty(1).expand(200_000), beside=10_000_000)
    with pytest.raises(BadRequest, match="GiB"):
        affordable_steps(30, torch.empty(1, dtype=torch.float64).expand(40_000_000_000))
