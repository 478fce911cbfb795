-- A small shop. The role and its rights are what docs/sources/postgres.md asks for.

CREATE TABLE public.customers (
    id     bigint PRIMARY KEY,
    name   text NOT NULL,
    email  text,
    vip    boolean NOT NULL DEFAULT false,
    joined date NOT NULL DEFAULT current_date
);

CREATE TABLE public.orders (
    id          bigint PRIMARY KEY,
    customer_id bigint NOT NULL,
    status      text NOT NULL DEFAULT 'new',
    total       numeric(10, 2) NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now()
);

-- Both tables have columns of text, which may be stored out of line; and debezium tells the whole old row.
ALTER TABLE public.customers REPLICA IDENTITY FULL;
ALTER TABLE public.orders REPLICA IDENTITY FULL;

-- What the role needs: to read the log (an attribute of the role), the rows, and to keep a publication of these tables.
GRANT CREATE ON DATABASE shop TO afterbay;
GRANT USAGE ON SCHEMA public TO afterbay;
ALTER TABLE public.customers OWNER TO afterbay;
ALTER TABLE public.orders OWNER TO afterbay;

INSERT INTO public.customers (id, name, email, joined)
SELECT n, 'Customer ' || n, CASE WHEN n % 5 > 0 THEN 'customer' || n || '@example.org' END, date '2020-01-01' + n::int
FROM generate_series(1, 200) AS n;

INSERT INTO public.orders (id, customer_id, total)
SELECT n, 1 + n % 200, (n * 37 % 10000)::numeric / 100
FROM generate_series(1, 2000) AS n;

-- The database keeps its own account of what is to come: one line per row now, one per change from now on, written in the
-- transaction of the change, and so gone with it if it is rolled back. It is not published.
CREATE SCHEMA account;
CREATE TABLE account.expected (relation text NOT NULL, messages int NOT NULL);

INSERT INTO account.expected
SELECT 'customers', 1 FROM public.customers UNION ALL SELECT 'orders', 1 FROM public.orders;

CREATE FUNCTION account.keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A change of the key makes two messages: the old row goes, the new one comes.
    INSERT INTO account.expected
    VALUES (TG_TABLE_NAME, CASE WHEN TG_OP = 'UPDATE' AND OLD.id <> NEW.id THEN 2 ELSE 1 END);
    RETURN NULL;
END $$;

CREATE TRIGGER account AFTER INSERT OR UPDATE OR DELETE ON public.customers
    FOR EACH ROW EXECUTE FUNCTION account.keep();
CREATE TRIGGER account AFTER INSERT OR UPDATE OR DELETE ON public.orders
    FOR EACH ROW EXECUTE FUNCTION account.keep();
