-- How far each source has been read, by its own clock; written after what was found is durable.
CREATE TABLE watermark (
    source    TEXT PRIMARY KEY,                 -- azure:CONNECTION/SUBSCRIPTION or signl4:TEAM
    at        INTEGER NOT NULL,                 -- the newest change that was read
    polled_at INTEGER NOT NULL                  -- when that poll began, by ours
) STRICT, WITHOUT ROWID;

-- When the bridge could not be called.
CREATE TABLE gap (
    id      INTEGER PRIMARY KEY,
    from_at INTEGER NOT NULL,
    to_at   INTEGER NOT NULL,
    why     TEXT    NOT NULL
) STRICT;

-- Rules whose webhooks have come.
CREATE TABLE rule_heard (
    connection TEXT    NOT NULL,
    rule       TEXT    NOT NULL,                -- SUBSCRIPTION/NAME, lower-case
    first_at   INTEGER NOT NULL,
    PRIMARY KEY (connection, rule)
) STRICT, WITHOUT ROWID;

-- One row: when the bridge was last alive and could write.
CREATE TABLE alive (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
