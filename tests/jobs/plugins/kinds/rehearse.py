"""A kind of job for tests: delivers one made-up run per cell, slowly, and fails as it is told."""

import os
import signal
import time

from jobs.parts import batch_id
from sciml_backend import paths
from sciml_backend.run import BadRequest, NoMemory, RunRecord, Status
from sciml_backend.store import spool


def run(task, *, report, should_stop):
    stored = spool.existing_cells()
    print(f"batches are 1/{task.shrink}")
    print(f"sees GPU {os.environ.get('CUDA_VISIBLE_DEVICES')} as {task.spec['device']}")
    if task.attempt <= task.spec.get("bad_attempts", 0):
        fail(task.spec["failure"])
    done = 0
    for part, cells in task.parts.items():
        records = []
        for cell in cells:
            if cell.cell_id not in stored:
                with open(paths.var() / "trained.txt", "a") as trained:
                    trained.write(f"{cell.cell_id}\n")
                time.sleep(task.spec.get("seconds", 0.0))
                records.append(RunRecord(spec=cell, status=Status.STALLED, reason="Made up.", train_loss=1.0))
            if should_stop():
                return
            done += 1
            row = {"cell_id": cell.cell_id, "iteration": 20 * done, "train_loss": 0.1**done, "test_error": 1.0}
            report({"done": done, "training": [row]})
        if records:
            spool.write_runs(records, paths.spool_new(), batch_id=batch_id(task.job_id, part), axis="beta")


def fail(how):
    print(f"about to fail: {how}")
    match how:
        case "refuse":
            raise BadRequest("This can never be done.")
        case "no room":
            raise NoMemory("Others have all the memory.")
        case "bug":
            raise ZeroDivisionError("division by zero")
        case "memory":
            raise MemoryError
        case "machine":
            raise OSError("The network is away.")
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "deaf":  # as inside a long call into C: no signal handler runs
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(60)
        case "with a child":
            print("child", os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60"), flush=True)
            time.sleep(60)
        case "silent":
            os._exit(0)
