-- A message board. Members call public functions. These find out who calls, when, and
-- under which new id, and pass that to functions that only the owner may call: the actions.
-- A replay runs only the actions, and so needs to find out nothing.
--
-- Run this as a superuser, then pgbridge init, then actions.sql.

DO $$
DECLARE
    missing text;
BEGIN
    FOR missing IN
        SELECT r FROM unnest(ARRAY['board_owner NOLOGIN', 'board_member NOLOGIN',
            'alice LOGIN IN ROLE board_member', 'bob LOGIN IN ROLE board_member']) AS r
        WHERE split_part(r, ' ', 1) NOT IN (SELECT rolname FROM pg_roles)
    LOOP
        EXECUTE 'CREATE ROLE ' || missing;
    END LOOP;
END $$;

CREATE SCHEMA board AUTHORIZATION board_owner;
GRANT USAGE ON SCHEMA board TO board_member;

SET ROLE board_owner;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TABLE board.post (
    id         uuid PRIMARY KEY,
    author     text NOT NULL,
    title      text NOT NULL CHECK (title <> ''),
    body       text NOT NULL,
    votes      integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    edited_at  timestamptz
);

CREATE TABLE board.vote (
    post  uuid NOT NULL REFERENCES board.post ON DELETE CASCADE,
    voter text NOT NULL,
    PRIMARY KEY (post, voter)
);

-- Members change their own row of this one directly.
CREATE TABLE board.profile (
    member text PRIMARY KEY,
    name   text NOT NULL,
    about  text
);
ALTER TABLE board.profile REPLICA IDENTITY FULL; -- for a mapping of certain columns
ALTER TABLE board.profile ENABLE ROW LEVEL SECURITY;
CREATE POLICY read ON board.profile FOR SELECT TO board_member USING (true);
CREATE POLICY own ON board.profile TO board_member USING (member = session_user);
GRANT SELECT ON ALL TABLES IN SCHEMA board TO board_member;
GRANT INSERT, UPDATE, DELETE ON board.profile TO board_member;

-- The actions.

CREATE FUNCTION board.create_post_owner(id uuid, author text, title text, body text, created_at timestamptz)
RETURNS uuid
LANGUAGE sql
SET search_path = board, pg_temp
AS $$
    INSERT INTO post (id, author, title, body, created_at) VALUES ($1, $2, $3, $4, $5) RETURNING id
$$;

CREATE FUNCTION board.edit_post_owner(id uuid, editor text, body text, edited_at timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = board, pg_temp
AS $$
BEGIN
    UPDATE post p SET body = $3, edited_at = $4 WHERE p.id = $1 AND p.author = $2;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% has no post %', editor, id USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

CREATE FUNCTION board.vote_owner(post uuid, voter text) RETURNS integer
LANGUAGE sql
SET search_path = board, pg_temp
AS $$
    INSERT INTO vote (post, voter) VALUES ($1, $2);
    UPDATE post p SET votes = votes + 1 WHERE p.id = $1 RETURNING votes
$$;

CREATE FUNCTION board.join_owner(member text, name text, about text) RETURNS void
LANGUAGE sql
SET search_path = board, pg_temp
AS $$
    INSERT INTO profile (member, name, about) VALUES ($1, $2, $3)
$$;

CREATE FUNCTION board.describe_owner(member text, about text) RETURNS void
LANGUAGE sql
SET search_path = board, pg_temp
AS $$
    UPDATE profile p SET about = $2 WHERE p.member = $1
$$;

CREATE FUNCTION board.leave_owner(member text) RETURNS void
LANGUAGE sql
SET search_path = board, pg_temp
AS $$
    DELETE FROM profile p WHERE p.member = $1
$$;

-- What members call.

CREATE FUNCTION board.create_post(title text, body text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = board, pg_temp
AS $$
BEGIN
    RETURN pgbridge.call('board.create_post_owner', jsonb_build_object(
        'id', pgbridge.new_id(), 'author', session_user, 'title', title, 'body', body, 'created_at', now())) #>> '{}';
END $$;

CREATE FUNCTION board.edit_post(id uuid, body text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = board, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.call('board.edit_post_owner', jsonb_build_object(
        'id', id, 'editor', session_user, 'body', body, 'edited_at', now()));
END $$;

-- The same with the typed function that registration makes.
CREATE FUNCTION board.vote(post uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = board, pg_temp
AS $$
BEGIN
    RETURN pgbridge."board.vote_owner"(post => $1, voter => session_user);
END $$;

GRANT EXECUTE ON FUNCTION board.create_post, board.edit_post, board.vote TO board_member;

RESET ROLE;
