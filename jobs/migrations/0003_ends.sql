-- The history is read from its end, by everyone who looks at it.
CREATE INDEX job_finished ON job (finished_at) WHERE finished_at > '';
