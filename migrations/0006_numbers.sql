-- Alerts have numbers, and what belongs to an alert is found by its number: rows that come together lie together, and a new
-- alert touches one page of one index at random, not one of each. `bridge_hash` is the bridge's own function.
CREATE TABLE numbered_alert (
    id       INTEGER PRIMARY KEY,
    key      TEXT    NOT NULL,
    hash     INTEGER NOT NULL,                  -- of the key
    heard_at INTEGER NOT NULL,
    state    TEXT    NOT NULL                   -- JSON of domain::page::Alert
) STRICT;
INSERT INTO numbered_alert (key, hash, heard_at, state)
    SELECT key, bridge_hash(key), heard_at, state FROM alert INDEXED BY alert_heard_at ORDER BY heard_at;
DROP TABLE alert;
ALTER TABLE numbered_alert RENAME TO alert;
CREATE INDEX alert_hash ON alert (hash);
CREATE INDEX alert_heard_at ON alert (heard_at);

CREATE TABLE numbered_page (
    id       TEXT    NOT NULL,                  -- X-S4-ExternalID
    alert    TEXT    NOT NULL,
    alert_id INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    ended    INTEGER NOT NULL,
    state    TEXT    NOT NULL,                  -- JSON of domain::page::Page
    digest   TEXT                               -- the key of the digest's alert that shows it
) STRICT;
INSERT INTO numbered_page (id, alert, alert_id, number, ended, state, digest)
    SELECT page.id, page.alert, alert.id, page.number, page.ended, page.state, page.digest
    FROM alert CROSS JOIN page ON page.alert = alert.key;  -- in the order of two indexes: nothing is sorted in memory
DROP TABLE page;
ALTER TABLE numbered_page RENAME TO page;
CREATE INDEX page_alert ON page (alert_id, number);
CREATE INDEX page_open ON page (ended) WHERE ended = 0;
CREATE INDEX page_digest ON page (digest, id) WHERE digest IS NOT NULL;

-- A repeat is looked for among the events of its alert, and among those without a number: what belongs to no alert, and all
-- that is older than this.
ALTER TABLE event ADD COLUMN alert_id INTEGER;
DROP INDEX event_repeat_key;
CREATE INDEX event_repeat ON event (alert_id) WHERE repeat_key IS NOT NULL AND alert_id IS NOT NULL;
CREATE INDEX event_repeat_key ON event (repeat_key) WHERE repeat_key IS NOT NULL AND alert_id IS NULL;

ALTER TABLE timer ADD COLUMN alert_id INTEGER;  -- of the page
CREATE INDEX page_id ON page (id);
UPDATE timer SET alert_id = (SELECT alert_id FROM page WHERE page.id = timer.page);
DROP INDEX page_id;
DROP INDEX timer_page;
CREATE INDEX timer_alert ON timer (alert_id);

ALTER TABLE delivery ADD COLUMN lane_hash INTEGER NOT NULL DEFAULT 0;
-- Finished ones are never looked for by their lane; dead ones may be sent again.
UPDATE delivery SET lane_hash = bridge_hash(lane) WHERE state < 2;
UPDATE delivery SET lane_hash = bridge_hash(lane) WHERE state = 3;
DROP INDEX delivery_lane;
CREATE INDEX delivery_lane ON delivery (lane_hash, words, seq) WHERE state < 2;
-- Whether a dead delivery still needs a page, asked of each old alert.
CREATE INDEX delivery_dead_page ON delivery (page) WHERE state = 3;
