-- A destination that is out of reach: since when. `waits_until` is then its next probe.
ALTER TABLE hold ADD COLUMN open_since INTEGER;
