-- Jobs, their cells, claims and events. Times ending in _at are UTC in ISO 8601; lease_until and not_before are Unix seconds.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE job (
    job_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    team TEXT NOT NULL DEFAULT '',
    requested_by TEXT NOT NULL DEFAULT '',
    spec_json TEXT NOT NULL,
    spec_hash TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    gpu REAL NOT NULL DEFAULT 0,
    n_gpus INTEGER NOT NULL DEFAULT 0,
    claims_cells INTEGER NOT NULL,              -- whether no other job may work on its cells meanwhile
    max_attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,         -- the fence: raised whenever the job goes back to the queue
    failures INTEGER NOT NULL DEFAULT 0,        -- attempts that ended by an infrastructure error
    engine_key TEXT,
    owner TEXT,
    lease_until REAL,
    heartbeat_at TEXT,
    not_before REAL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    n_cells INTEGER NOT NULL,
    n_done INTEGER NOT NULL DEFAULT 0,
    progress_json TEXT NOT NULL DEFAULT '{}',
    created_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    error_class TEXT,
    error_text TEXT
);

-- The double-submit guard: the same request is active at most once.
CREATE UNIQUE INDEX job_active_spec ON job (spec_hash)
    WHERE state IN ('queued', 'submitted', 'running', 'ingesting', 'retry_wait', 'cancelling');
CREATE INDEX job_state ON job (state);

CREATE TABLE job_cell (
    job_id TEXT NOT NULL REFERENCES job,
    part INTEGER NOT NULL,
    cell_id TEXT NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (job_id, cell_id)
) WITHOUT ROWID;

-- A cell is trained by at most one job at a time; released with the job's last transition.
CREATE TABLE cell_claim (
    cell_id TEXT PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES job
) WITHOUT ROWID;
CREATE INDEX cell_claim_job ON cell_claim (job_id);

CREATE TABLE job_event (
    seq INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES job,
    attempt INTEGER NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    actor TEXT NOT NULL,
    ts TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
);
CREATE INDEX job_event_job ON job_event (job_id);
