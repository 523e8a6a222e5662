-- device: of its present or last attempt. seconds: spent on devices, all attempts together.
-- shrink: its batches are this many times smaller than usual, as memory ran out.
ALTER TABLE job ADD COLUMN device TEXT NOT NULL DEFAULT '';
ALTER TABLE job ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN shrink INTEGER NOT NULL DEFAULT 1;
