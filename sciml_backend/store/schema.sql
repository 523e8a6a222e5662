-- The index of all batches. It holds nothing that the Parquet files do not, so it is rebuilt rather than migrated:
-- raise SCHEMA_VERSION in connection.py with every change here.
-- The large tables have no primary key on purpose: each batch is inserted exactly once (ingest_log), and appends
-- neither conflict nor maintain an index.

CREATE TABLE meta (schema_version INTEGER);

-- Runs that may be averaged over seeds: same map, source, protocol version and every setting but x, y and seed.
CREATE TABLE regime_map (
    map_id           UBIGINT,
    name             VARCHAR,
    family           VARCHAR,
    problem          VARCHAR,
    strategy         VARCHAR,
    variant          VARCHAR,
    source           VARCHAR,
    protocol_version BIGINT,
    setup            VARCHAR,
    x_name           VARCHAR,
    y_name           VARCHAR
);

CREATE TABLE run (
    map_id          UBIGINT,
    cell_id         UUID,
    batch_id        VARCHAR,
    x               DOUBLE,
    y               DOUBLE,
    seed            BIGINT,
    data_seed       BIGINT,
    coefficients    VARCHAR,
    dtype           VARCHAR,
    protocol        VARCHAR,
    model           VARCHAR,
    settings        VARCHAR,
    plugin          VARCHAR,
    status          VARCHAR,
    reason          VARCHAR,
    train_loss      DOUBLE,
    test_error      DOUBLE,
    test_error_l1   DOUBLE,
    heldout_error   DOUBLE,
    objective_value DOUBLE,
    gradient_norm   DOUBLE,
    iterations      BIGINT,
    evaluations     BIGINT,
    "seconds"       DOUBLE,
    device          VARCHAR,
    threads         BIGINT,
    kernel          VARCHAR,
    chunk           BIGINT,
    batch_rows      BIGINT,
    versions        VARCHAR,
    finished_at     VARCHAR,
    spec            VARCHAR
);

CREATE TABLE curve (
    cell_id     UUID,
    iteration   BIGINT[],
    evaluations BIGINT[],
    "seconds"   FLOAT[],
    train_loss  DOUBLE[],
    test_error  DOUBLE[]
);

-- Arrays stay in Parquet; batch_id leads to the file through ingest_log.
CREATE TABLE artifact (
    cell_id          UUID,
    kind             VARCHAR,
    settings         VARCHAR,
    request_key      VARCHAR,
    numbers          VARCHAR,
    "seconds"        DOUBLE,
    finished_at      VARCHAR,
    protocol_version BIGINT,
    batch_id         VARCHAR
);

-- A run or a diagnostic that finished at or before a withdrawal of its cell stands in withdrawn_run or
-- withdrawn_artifact, in no other table. Times are UTC texts of one form, so they compare as texts.
CREATE TABLE withdrawal (
    cell_id      UUID,
    reason       VARCHAR,
    withdrawn_by VARCHAR,
    withdrawn_at VARCHAR,
    batch_id     VARCHAR
);

CREATE TABLE withdrawn_run (
    map              VARCHAR,
    cell_id          UUID,
    batch_id         VARCHAR,
    x_name           VARCHAR,
    x                DOUBLE,
    y                DOUBLE,
    seed             BIGINT,
    protocol_version BIGINT,
    status           VARCHAR,
    train_loss       DOUBLE,
    test_error       DOUBLE,
    finished_at      VARCHAR
);

CREATE TABLE withdrawn_artifact AS FROM artifact LIMIT 0;

-- Readings from publications, with how far they can be trusted.
CREATE TABLE published_value (
    name        VARCHAR,
    x           DOUBLE,
    y           DOUBLE,
    metric      VARCHAR,
    value       DOUBLE,
    uncertainty DOUBLE,
    censored    VARCHAR,
    quality     VARCHAR,
    note        VARCHAR
);

CREATE TABLE ingest_log (
    batch_id    VARCHAR,
    kind        VARCHAR,
    file        VARCHAR,
    cells       VARCHAR,
    n_rows      BIGINT,
    ingested_at TIMESTAMP
);

-- Files that repeat a stored batch and stay where they are: they are not looked at again.
CREATE TABLE repetition (file VARCHAR);

CREATE TABLE quarantine (file VARCHAR, reason VARCHAR, ts TIMESTAMP);
