"""Where attempts may start: cores, and GPUs as an ``nvidia-smi`` on PATH tells of them (a script: no GPU is needed)."""

import os
from datetime import datetime

import pytest

from jobs import queue
from jobs.devices import found
from jobs.engine import Need
from jobs.engines.local import LocalEngine
from jobs.job import State
from sciml_backend.run import BadRequest


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Have nvidia-smi print these lines: index, name, total and used MiB, percent."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def show(*lines):
        script = folder / "nvidia-smi"
        script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
        script.chmod(0o755)

    return show


FREE, TAKEN, BUSY = (
    "0, NVIDIA H200, 143771, 12, 0",
    "1, NVIDIA H200, 143771, 70000, 3",
    "2, NVIDIA H200, 143771, 900, 98",
)


def test_cores_are_shared_out_one_by_one(control, rehearse, dispatch, wait_for):
    jobs = [rehearse(1, first_seed=10 * k, seconds=0.6) for k in range(3)]
    dispatch(slots=2)
    states = lambda: [control.job(job_id).state for job_id in jobs]  # noqa: E731
    wait_for(lambda: states().count(State.RUNNING) == 2)
    assert states()[2] is State.QUEUED
    (cpu,) = wait_for(lambda: [device for device in queue.devices() if device.used == 2])
    assert (cpu.name, cpu.slots) == ("cpu", 2.0) and cpu.memory > cpu.memory_used > 0 and cpu.label
    wait_for(lambda: states() == [State.SUCCEEDED] * 3)
    assert {control.job(job_id).device for job_id in jobs} == {"cpu"}


def test_gpus_are_read_as_nvidia_smi_tells_them(gpus):
    gpus(FREE, TAKEN, "no such line")
    cpu, first, second = found(cores=3)
    assert (cpu.name, cpu.slots) == ("cpu", 3.0)
    assert (first.name, first.label, first.memory) == ("cuda:0", "NVIDIA H200", 143771 * 2**20)
    assert first.refusal(used=0, share=1.0) == ""
    assert second.refusal(used=0, share=0.25) == "others use it (68 GiB, 3 % busy)"


def test_nothing_starts_on_a_gpu_that_others_use(gpus):
    gpus(TAKEN, BUSY)
    engine = LocalEngine(slots=1)
    assert engine.capacity(Need(device="cuda", share=0.25)) == ""
    assert [device.blocked[:6] for device in engine.devices()] == ["", "others", "others"]


def test_small_jobs_share_a_gpu_and_a_big_one_takes_it_whole(gpus, rehearse, dispatch, control, wait_for, cells):
    gpus(FREE)

    def queued(first_seed, gpu):
        spec = {"device": "cuda", "seconds": 0.5}
        asked = cells(1, first_seed=first_seed)
        return control.submit("rehearse", asked, spec=spec, claim=True, gpu=gpu).job_id

    small = [queued(k, 0.25) for k in range(5)]
    big, later = queued(10, 1.0), queued(11, 0.25)
    plain = rehearse(1, first_seed=20)
    dispatch(slots=1)
    wait_for(lambda: control.job(plain).state is State.SUCCEEDED)
    wait_for(lambda: control.job(later).state is State.SUCCEEDED)
    jobs = {job_id: control.job(job_id) for job_id in (*small, big, later)}
    computed = {
        job_id: next(e["ts"] for e in control.events(job_id) if e["to_state"] == "ingesting") for job_id in jobs
    }
    spans = {job_id: (job.started_at, computed[job_id]) for job_id, job in jobs.items()}
    assert {job.device for job in jobs.values()} == {"cuda:0"}
    assert max(spans[job_id][1] for job_id in small) <= spans[big][0], "the big one waited until it was alone"
    assert spans[big][1] <= spans[later][0], "a later small one did not overtake it"
    overlapping = [s for s in small if spans[s][0] < min(spans[job_id][1] for job_id in small)]
    assert len(overlapping) == 4, "four quarters fit"


def test_a_child_sees_its_own_gpu_only(gpus, control, cells, dispatch, wait_for):
    gpus("0, A, 1000, 900, 90", "3, B, 1000, 0, 0")
    job_id = control.submit("rehearse", cells(1), spec={"device": "cuda"}, claim=True, gpu=1.0).job_id
    dispatch()
    wait_for(lambda: control.job(job_id).state is State.SUCCEEDED)
    assert "sees GPU 3 as cuda" in queue.log_tail(job_id)


@pytest.mark.parametrize(
    ("hours", "at", "allowed"),
    [("20-7", 23, True), ("20-7", 6, True), ("20-7", 12, False), ("9-17", 9, True), ("9-17", 17, False), ("", 3, True)],
)
def test_gpus_are_used_in_the_allowed_hours_only(gpus, hours, at, allowed, monkeypatch):
    gpus(FREE)
    monkeypatch.setenv("ATLAS_GPU_HOURS", hours)
    gpu = found(cores=1)[1]
    assert (gpu.refusal(used=0, share=0.25, now=datetime(2026, 11, 21, at)) == "") is allowed


def test_hours_that_are_none_are_one_sentence(monkeypatch):
    monkeypatch.setenv("ATLAS_GPU_HOURS", "night")
    with pytest.raises(BadRequest, match="span of hours like 20-7, got 'night'"):
        LocalEngine(slots=1)


@pytest.mark.parametrize("device", ["cuda", "cuda:4", "cuda:-1", "tpu", ""])
def test_a_device_that_is_not_there_is_refused_when_it_is_asked_for(device, cells, control, monkeypatch):
    monkeypatch.setenv("PATH", "")
    if not device:
        monkeypatch.setenv("ATLAS_DEVICE", "cuda:9")
    with pytest.raises(BadRequest, match="There is no device|A device is cpu"):
        queue.submit_training(cells(1), device=device or None)
    assert control.jobs() == []
