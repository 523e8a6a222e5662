"""The dispatcher: the thread that moves jobs between the control store and the engine.

Nothing it knows is only in memory: killed at any point, the next one finds every job in the control store and every
finished part in the spool.
"""

from __future__ import annotations

import json
import logging
import math
import random
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from jobs.control import ControlStore, Ticket, Value, now
from jobs.curves import LiveCurves, note
from jobs.delivery import arrival
from jobs.engine import BEAT, LOST, Engine, Message, Outcome, open_engine
from jobs.job import ON_A_WORKER, State
from jobs.kind import Task
from jobs.logs import tail
from jobs.owner import Ownership
from sciml_backend import paths
from sciml_backend.run import BadRequest
from sciml_backend.store.spool import require_space

logger = logging.getLogger(__name__)

ACTOR = "dispatcher"
PAUSED, DEVICES = "paused", "devices"
SPREAD = 0.5, 1.5
"""Waits are this many times what they should be, at random, so that what failed together is not tried together."""
LOOK_AHEAD = 32
"""How many waiting jobs are looked at in one round."""
SILENT = Outcome(
    ok=False, error_class="LeaseExpired", error_text="Its worker was not heard of for too long.", retry=True
)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Times in seconds: a round, between notes of progress, a worker's silence, to stop, the first and longest wait."""

    tick: float = 0.2
    note: float = 1.0
    lease: float = 60.0
    stop: float = 20.0
    first_retry: float = 2.0
    longest_retry: float = 300.0


class Dispatcher:
    """Dispatches from construction until ``stop``; raises BadRequest when another process does.

    With ``wait_for_ingest`` a job has succeeded only when the store's owner has taken in its batches.
    """

    def __init__(
        self,
        control: ControlStore | None = None,
        *,
        engine: Engine | None = None,
        pace: Pace | None = None,
        wait_for_ingest: bool = False,
    ) -> None:
        self.control = control or ControlStore(paths.control())
        self._ownership = Ownership(self.control)  # before the engine: who may not dispatch starts none
        try:
            self.engine = engine or open_engine()
        except BadRequest:
            self._ownership.release()
            raise
        self.pace = pace or Pace()
        self._wait_for_ingest = wait_for_ingest
        self._messages: dict[str, Message] = {}
        self._heard: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._noted: dict[str, tuple[Message, float]] = {}
        self._curves: dict[str, LiveCurves] = {}
        self._due: dict[str, float] = {}
        self._paused: str | None = None  # what an earlier dispatcher noted may hold no more
        self._complaint = ""
        self._told, self._told_at = "", -math.inf
        self._stop = threading.Event()
        self.engine.on_progress(self._hear)
        # Children die with the thread that started them, so this one starts, watches and stops them all.
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop dispatching, stop the workers, put their jobs back into the queue."""
        self._stop.set()
        self._thread.join()

    def idle(self) -> bool:
        """Whether no job is left to wait for."""
        return not self.control.tickets([state for state in State if state.active], limit=1)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with ExitStack() as held:
            try:
                connected = taken_over = False
                while not self._stop.is_set():
                    connected = connected or self._guarded(held.enter_context, self.control.held())
                    taken_over = taken_over or (connected and self._guarded(self._take_over))
                    if taken_over:
                        self._guarded(self._tick)
                    self._stop.wait(self.pace.tick)
            finally:
                self.engine.close(grace=self.pace.stop)
                if not self.engine.outlives_us:
                    self._guarded(self._return_to_queue, "the dispatcher was stopped")
                self._guarded(self._ownership.release)

    def _guarded(self, action: Any, *arguments: Any) -> bool:
        """Whether it worked; a full disk or a busy file now is no reason to leave the jobs alone for ever."""
        try:
            action(*arguments)
        except BadRequest as problem:
            if str(problem) != self._complaint:
                logger.warning("The dispatcher could not finish a round (%s); it goes on.", problem)
            self._complaint = str(problem)
            return False
        except Exception:
            logger.exception("The dispatcher could not finish a round; it goes on.")
            return False
        self._complaint = ""
        return True

    def _hear(self, key: str, message: Message) -> None:
        self._heard[key] = time.monotonic()
        if message.get("event") != BEAT:
            self._messages[key] = message

    def _tick(self) -> None:
        watched = self.control.tickets(ON_A_WORKER)
        outcomes = self.engine.status([ticket.engine_key for ticket in watched])
        for ticket in watched:
            self._watch(ticket, outcomes.get(ticket.engine_key, LOST))
        for ticket in self.control.tickets([State.INGESTING]):
            self._confirm(ticket)
        self._try_again()
        if self._may_start():
            self._start_what_fits()
        self._tell_of_devices()

    def _take_over(self) -> None:
        """Attach to what an earlier dispatcher left running, or queue it again."""
        if not self.engine.outlives_us:
            self._return_to_queue("its dispatcher had ended")
            return
        for ticket in self.control.tickets(ON_A_WORKER):
            self._submit(ticket)

    def _return_to_queue(self, reason: str) -> None:
        tickets = self.control.tickets(ON_A_WORKER)
        outcomes = self.engine.status([ticket.engine_key for ticket in tickets])
        for ticket in tickets:
            outcome = outcomes.get(ticket.engine_key)
            spent = self._spent(ticket)
            if ticket.state is State.CANCELLING:
                self.control.move(ticket, State.CANCELLED, actor=ACTOR, detail=reason, changes=spent)
            elif outcome is not None and outcome.ok:
                self.control.move(ticket, State.INGESTING, actor=ACTOR, changes=spent)
            else:
                self.control.move(ticket, State.QUEUED, actor=ACTOR, detail=reason, changes=spent)

    def _try_again(self) -> None:
        """Queue what has waited long enough by a clock that nobody can set; that of the day says what was left."""
        waiting, moment = self.control.tickets([State.RETRY_WAIT]), time.monotonic()
        self._due = {t.engine_key: self._due.get(t.engine_key, moment + self._left(t)) for t in waiting}
        for ticket in waiting:
            if moment >= self._due[ticket.engine_key]:
                self.control.move(ticket, State.QUEUED, actor=ACTOR, detail="tried again")

    def _left(self, ticket: Ticket) -> float:
        longest = self.pace.longest_retry * SPREAD[1]
        return min((ticket.not_before or 0.0) - time.time(), longest)

    # --- one job -----------------------------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        paused = self.engine.trouble
        try:
            require_space(paths.var())
        except BadRequest as problem:
            paused = str(problem)
        if paused != self._paused:
            self.control.note(PAUSED, paused)
            self._paused = paused
        return not paused

    def _start_what_fits(self) -> None:
        """In the order of the queue, of CPU and GPUs apart: no small job overtakes a big one that waits for room."""
        for on_gpu in (False, True):
            for ticket in self.control.tickets([State.QUEUED], on_gpu=on_gpu, limit=LOOK_AHEAD):
                device = self.engine.capacity(ticket.need)
                if not device:
                    break
                self._start(ticket, device)

    def _tell_of_devices(self) -> None:
        """Note the devices for pages, when something about them changed."""
        if time.monotonic() > self._told_at + self.pace.note:
            self._told_at = time.monotonic()
            devices = json.dumps([asdict(device) for device in self.engine.devices()])
            if devices != self._told:
                self.control.note(DEVICES, devices)
                self._told = devices

    def _start(self, ticket: Ticket, device: str) -> None:
        if not self.control.move(ticket, State.SUBMITTED, actor=ACTOR, changes={"device": device}):
            return
        self._submit(replace(ticket.now(State.SUBMITTED), device=device))

    def _submit(self, ticket: Ticket) -> None:
        """Have the engine start an attempt on the ticket's device, or take it over."""
        parts = self.control.parts(ticket.job_id)
        task = Task(
            job_id=ticket.job_id,
            attempt=ticket.attempt,
            kind=ticket.kind,
            spec={**ticket.spec, "device": ticket.place.partition(":")[0]},
            parts=parts,
            shrink=ticket.shrink,
        )
        self._heard[ticket.engine_key] = self._begun[ticket.engine_key] = time.monotonic()
        try:
            need = replace(ticket.need, device=ticket.place)
            self.engine.submit(ticket.engine_key, task.to_text(), job_id=ticket.job_id, need=need)
        except OSError as error:
            self._fail(ticket, Outcome(ok=False, error_class="OSError", error_text=str(error), retry=True))

    def _watch(self, ticket: Ticket, outcome: Outcome | None) -> None:
        if outcome is None and ticket.state is State.CANCELLING:
            self.engine.cancel(ticket.engine_key)
        elif outcome is None and self._silence(ticket) > self.pace.lease:
            self.engine.cancel(ticket.engine_key)
            self._end(ticket, SILENT)
        elif outcome is None:
            self._follow(ticket)
        else:
            self._end(ticket, outcome)

    def _silence(self, ticket: Ticket) -> float:
        """Seconds since its worker was heard, by a clock that nobody can set."""
        moment = time.monotonic()
        return moment - self._heard.setdefault(ticket.engine_key, moment)

    def _follow(self, ticket: Ticket) -> None:
        message = self._messages.get(ticket.engine_key)
        if message and ticket.state is State.SUBMITTED:
            where = f"{ticket.place} on {message['host']}" if "host" in message else ticket.place
            self.control.move(ticket, State.RUNNING, actor=ACTOR, changes={"started_at": now(), "device": where})
        noted, noted_at = self._noted.get(ticket.engine_key, ({}, 0.0))
        if message and message is not noted and time.monotonic() > noted_at + self.pace.note:
            self._noted[ticket.engine_key] = (message, time.monotonic())
            curves = self._curves.setdefault(ticket.engine_key, LiveCurves())
            self.control.note_progress(ticket, note(message, curves))

    def _end(self, ticket: Ticket, outcome: Outcome) -> None:
        changes = self._spent(ticket)
        for known in (self._messages, self._noted, self._heard, self._curves):
            known.pop(ticket.engine_key, None)
        if ticket.state is State.CANCELLING:
            self.control.move(ticket, State.CANCELLED, actor=ACTOR, changes=changes)
        elif outcome.ok:
            self.control.move(ticket, State.INGESTING, actor=ACTOR, changes=changes)
        else:
            self._fail(ticket, outcome, changes)

    def _spent(self, ticket: Ticket) -> dict[str, Value]:
        """What the job has cost when this attempt ends now; an attempt that we did not see begin adds nothing."""
        begun = self._begun.pop(ticket.engine_key, time.monotonic())
        return {"seconds": ticket.seconds + time.monotonic() - begun}

    def _confirm(self, ticket: Ticket) -> None:
        cells = self.control.cell_ids(ticket.job_id)
        found = arrival(ticket.job_id, cells, stored_elsewhere_counts=ticket.claims_cells)
        if found.missing:
            text = f"{found.missing} of {len(cells)} cells were computed but are not in the spool."
            self._fail(ticket, Outcome(ok=False, error_class="NotDelivered", error_text=text, retry=True))
        elif not (self._wait_for_ingest and found.waiting):
            self.control.move(ticket, State.SUCCEEDED, actor=ACTOR, changes={"n_done": len(cells)})

    def _fail(self, ticket: Ticket, outcome: Outcome, spent: Mapping[str, Value] | None = None) -> None:
        """Wait for another try, or give up: at once when none may help, and when half the batch was too much too."""
        failures = ticket.failures + 1
        error = {"error_class": outcome.error_class, "error_text": outcome.error_text}
        changes: dict[str, Value] = {**(spent or {}), **error, "failures": failures}
        too_much = outcome.out_of_memory and ticket.shrink > 1
        if outcome.retry and failures < ticket.max_attempts and not too_much:
            wait = min(self.pace.longest_retry, self.pace.first_retry * 2 ** (failures - 1)) * random.uniform(*SPREAD)
            # The kernel's own way to make room is to kill, and it kills workers first (see ``worker.die_with``).
            shrink = 2 if outcome.out_of_memory or outcome.error_class == "SIGKILL" else ticket.shrink
            changes |= {"not_before": time.time() + wait, "shrink": shrink}
            self.control.move(ticket, State.RETRY_WAIT, actor=ACTOR, detail=outcome.error_text, changes=changes)
        else:
            detail = f"{outcome.error_text}\n{tail(ticket.job_id, lines=20)}"
            self.control.move(ticket, State.DEAD, actor=ACTOR, detail=detail, changes=changes)


def start_dispatcher(*, wait_for_ingest: bool = False) -> Dispatcher:
    """Dispatch this installation's jobs from a thread of this process; raises BadRequest when another one does."""
    return Dispatcher(wait_for_ingest=wait_for_ingest)
