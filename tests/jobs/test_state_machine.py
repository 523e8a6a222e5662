"""The control store against a model of it: random requests, moves by fresh and stale views, and lost processes."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from jobs.control import ControlStore
from jobs.job import TRANSITIONS, State
from sciml_backend.run import BadRequest, RunSpec

CELLS = [
    RunSpec(family="pinn", problem="convection", strategy="lbfgs", coefficients={"beta": 5.0}, data=100, seed=seed)
    for seed in range(6)
]
FORWARD = st.sampled_from([state for state in State])


class Queue(RuleBasedStateMachine):
    """The model: the state, attempt and cells of every job, and who claims a cell."""

    jobs = Bundle("jobs")
    tickets = Bundle("tickets")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = ControlStore(Path(self.folder.name) / "control.sqlite")
        self.model = {}
        self.events = 0

    def claimed(self):
        return {cell: job for job, (state, _, cells) in self.model.items() if state.active for cell in cells}

    @rule(target=jobs, seeds=st.sets(st.integers(0, 5), min_size=1), priority=st.integers(-2, 2))
    def submit(self, seeds, priority):
        wanted = {CELLS[seed].cell_id for seed in seeds}
        free = wanted - self.claimed().keys()
        try:
            job = self.store.submit("rehearse", [CELLS[s] for s in seeds], spec={}, claim=True, priority=priority)
        except BadRequest:
            assert not free, "a request for free cells is never refused"
            return None
        assert free, "a cell is never claimed twice"
        self.model[job.job_id] = (State.QUEUED, 1, free)
        self.events += 1
        return job.job_id

    @rule(target=tickets, job=jobs)
    def look(self, job):
        """A view, which may be old when it is acted on."""
        return next((t for t in self.store.tickets(list(State)) if t.job_id == job), None)

    @rule(ticket=consumes(tickets), to=FORWARD)
    def move(self, ticket, to):
        if ticket is None or to not in TRANSITIONS[ticket.state]:
            return
        state, attempt, cells = self.model[ticket.job_id]
        fresh = (state, attempt) == (ticket.state, ticket.attempt)
        if to is State.QUEUED and not state.active:
            return  # that way is requeue's
        assert self.store.move(ticket, to, actor="test") is fresh, "who acts on an old view changes nothing"
        if fresh:
            self.model[ticket.job_id] = (to, attempt + (to is State.QUEUED), cells)
            self.events += 1

    @rule(job=jobs)
    def cancel(self, job):
        if job is None:
            return
        state, attempt, cells = self.model[job]
        try:
            after = self.store.cancel(job, actor="test").state
        except BadRequest:
            assert not state.active
            return
        assert state.active
        running = state in (State.SUBMITTED, State.RUNNING, State.CANCELLING)
        assert after is (State.CANCELLING if running else State.CANCELLED)
        self.events += state is not after
        self.model[job] = (after, attempt, cells)

    @rule(job=jobs)
    def requeue(self, job):
        if job is None:
            return
        state, attempt, cells = self.model[job]
        taken = not cells.isdisjoint(self.claimed())
        try:
            self.store.requeue(job, actor="test")
        except BadRequest:
            assert state not in (State.DEAD, State.CANCELLED) or taken
            return
        assert state in (State.DEAD, State.CANCELLED) and not taken
        self.model[job] = (State.QUEUED, attempt + 1, cells)
        self.events += 1

    @rule(ticket=tickets, done=st.integers(0, 6))
    def heartbeat(self, ticket, done):
        if ticket is not None:
            self.store.note_progress(ticket, {"done": done})

    @rule()
    def crash(self):
        """Nothing is known but what the file says."""
        self.store = ControlStore(self.store.path)

    @invariant()
    def it_is_what_the_model_says(self):
        found = {job.job_id: (job.state, job.attempt) for job in self.store.jobs(limit=1000)}
        assert found == {job: (state, attempt) for job, (state, attempt, _) in self.model.items()}
        assert self.store.claims() == self.claimed()
        assert sum(len(self.store.events(job)) for job in found) == self.events

    def teardown(self):
        self.folder.cleanup()


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
