-- The digest that shows a page, instead of a page of its own in SIGNL4: the key of the digest's alert.
ALTER TABLE page ADD COLUMN digest TEXT;
CREATE INDEX page_digest ON page (digest, id) WHERE digest IS NOT NULL;
