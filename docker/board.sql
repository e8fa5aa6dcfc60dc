CREATE TABLE message (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author    text NOT NULL,
    title     text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO message (author, title) VALUES ('Ada', 'hello'), ('Grace', 'hello, Ada');
