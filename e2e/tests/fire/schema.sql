-- A key of one column, the default replica identity.
CREATE TABLE account (id int PRIMARY KEY, n int NOT NULL, owner int);
-- A key of two columns.
CREATE TABLE line (region int, number int, n int NOT NULL, note text, PRIMARY KEY (region, number));
ALTER TABLE line REPLICA IDENTITY FULL;
-- No key at all: `id` names rows to the checker, and several rows may have the same one.
CREATE TABLE event (id int NOT NULL, n int NOT NULL, body text);
CREATE INDEX ON event (id);
ALTER TABLE event REPLICA IDENTITY FULL;

-- A key of text, a composite value, headers, and columns that join while it is carried.
CREATE TYPE spot AS (x int, label text);
CREATE TABLE word (code text PRIMARY KEY, n int NOT NULL, place spot, owner int, labels jsonb);
ALTER TABLE word REPLICA IDENTITY FULL;

-- `n` is another number in each change.
CREATE SEQUENCE numbers;
-- Keys that were never there.
CREATE SEQUENCE fresh START 100000;

INSERT INTO account SELECT i, nextval('numbers'), i % 7 FROM generate_series(1, 4000) i;
INSERT INTO line SELECT i / 100, i % 100, nextval('numbers'), 'line ' || i FROM generate_series(0, 1999) i;
INSERT INTO event SELECT i, nextval('numbers'), repeat('x', i % 50) FROM generate_series(1, 1000) i;
INSERT INTO word
    SELECT 'w' || i || chr(200 + i % 40), nextval('numbers'),
           ROW(i, CASE WHEN i % 5 > 0 THEN 'at "' || i || '"' END)::spot, i % 11, jsonb_build_object('of', i::text)
    FROM generate_series(1, 1500) i;

-- What happened, written in the transaction of the change. Transactions that change a row wait for each other at its
-- lock, which is held until their commit, and those that insert a key wait at the unique index: so the notes of one key
-- are numbered in the order in which they were committed. What is rolled back takes its notes with it.
CREATE TABLE audit (seq bigserial PRIMARY KEY, relation text NOT NULL, before jsonb, after jsonb);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit (relation, after) VALUES (TG_TABLE_NAME, to_jsonb(NEW));
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO audit (relation, before, after) VALUES (TG_TABLE_NAME, to_jsonb(OLD), to_jsonb(NEW));
    ELSE
        INSERT INTO audit (relation, before) VALUES (TG_TABLE_NAME, to_jsonb(OLD));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON account FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON line FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON word FOR EACH ROW EXECUTE FUNCTION note();
