-- What was written and never read: the dispatcher's own clock says which worker is silent.
ALTER TABLE job DROP COLUMN team;
ALTER TABLE job DROP COLUMN n_gpus;
ALTER TABLE job DROP COLUMN engine_key;
ALTER TABLE job DROP COLUMN owner;
ALTER TABLE job DROP COLUMN lease_until;
ALTER TABLE job DROP COLUMN heartbeat_at;
ALTER TABLE job DROP COLUMN cancel_requested;
