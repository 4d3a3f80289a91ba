-- The few attempts under way, found without a look at every delivery that waits: at each start and by each `/readyz`.
CREATE INDEX delivery_leased ON delivery (seq) WHERE state = 1;
-- Nothing looks for the events of an alert, and it took a page of the log for each event.
DROP INDEX event_alert;
