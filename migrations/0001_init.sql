-- What was heard. Rows are only appended; retention removes old ones.
CREATE TABLE event (
    id          INTEGER PRIMARY KEY,
    uuid        BLOB    NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,               -- UTC milliseconds, as all times here
    side        TEXT    NOT NULL,
    source      TEXT    NOT NULL,               -- connection or team
    kind        TEXT    NOT NULL,
    reason      TEXT    NOT NULL,               -- why the verdict is what it is
    alert       TEXT,
    page        TEXT,
    repeat_key  TEXT,
    headers     TEXT    NOT NULL,               -- the few that matter, as JSON; never credentials
    body        BLOB    NOT NULL                -- lz4 with the size in front
) STRICT;
CREATE UNIQUE INDEX event_repeat_key ON event (repeat_key) WHERE repeat_key IS NOT NULL;
CREATE INDEX event_alert ON event (alert) WHERE alert IS NOT NULL;
CREATE INDEX event_received_at ON event (received_at);

CREATE TABLE alert (
    key      TEXT PRIMARY KEY,
    heard_at INTEGER NOT NULL,
    state    TEXT    NOT NULL                   -- JSON of domain::page::Alert
) STRICT, WITHOUT ROWID;
CREATE INDEX alert_heard_at ON alert (heard_at);

CREATE TABLE page (
    id       TEXT PRIMARY KEY,                  -- X-S4-ExternalID
    alert    TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    state    TEXT    NOT NULL                   -- JSON of domain::page::Page
) STRICT, WITHOUT ROWID;
CREATE INDEX page_alert ON page (alert, number);
CREATE INDEX page_open ON page (ended) WHERE ended = 0;

CREATE TABLE delivery (
    seq         INTEGER PRIMARY KEY,            -- order of decision
    id          BLOB    NOT NULL UNIQUE,
    lane        TEXT    NOT NULL,
    words       INTEGER NOT NULL,               -- 1: a comment or annotation, never before a state change of its lane
    destination TEXT    NOT NULL,
    class       INTEGER NOT NULL,               -- 0 pages, 1 state changes, 2 words
    kind        TEXT    NOT NULL,
    state       INTEGER NOT NULL,               -- 0 due, 1 leased, 2 done, 3 dead, 4 superseded, 5 confirmed, 6 dropped
    due         INTEGER NOT NULL,               -- of a leased row: the end of its lease
    attempt     INTEGER NOT NULL,               -- attempts begun; the fence of every later update
    uncertain   INTEGER NOT NULL,               -- 1: an earlier attempt may have been received
    alert       TEXT,
    page        TEXT,
    event       INTEGER,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    outcome     TEXT,
    note        TEXT,
    call        TEXT    NOT NULL                -- JSON of domain::delivery::Call
) STRICT;
CREATE INDEX delivery_claim ON delivery (destination, class, due) WHERE state < 2;
CREATE INDEX delivery_lane ON delivery (lane, words, seq) WHERE state < 2;
CREATE INDEX delivery_open ON delivery (seq) WHERE state < 2;
CREATE INDEX delivery_dead ON delivery (seq) WHERE state = 3;
CREATE INDEX delivery_finished ON delivery (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE timer (
    id    INTEGER PRIMARY KEY,
    page  TEXT    NOT NULL,
    alert TEXT    NOT NULL,
    kind  TEXT    NOT NULL,
    due   INTEGER NOT NULL
) STRICT;
CREATE INDEX timer_due ON timer (due);
CREATE INDEX timer_page ON timer (page);

-- What holds a destination back: an operator's pause, a refusal of our credential, its own wish to wait.
CREATE TABLE hold (
    destination   TEXT PRIMARY KEY,
    paused_until  INTEGER,                      -- Raises wait; everything else passes
    denied_since  INTEGER,
    waits_until   INTEGER,                      -- denied: the next probe; busy: the end of its Retry-After
    why           TEXT
) STRICT, WITHOUT ROWID;

-- Which alert a thread begins with, and which alerts have joined the pages of another.
CREATE TABLE thread (
    key   TEXT PRIMARY KEY,
    alert TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX thread_alert ON thread (alert);
CREATE TABLE joined (
    alert TEXT PRIMARY KEY,
    head  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX joined_head ON joined (head);

-- One row, rewritten to show that the store can write.
CREATE TABLE pulse (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
