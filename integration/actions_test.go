package integration

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A message board. Posts and votes are made by calls, through public functions
// that find out who calls; titles are changed by plain UPDATEs that are mapped.
const messageBoard = `CREATE SCHEMA app;
	CREATE TYPE app.mood AS ENUM ('glad', 'cross');
	CREATE TABLE app.post (id uuid PRIMARY KEY, author text NOT NULL, title text NOT NULL, slug text, mood app.mood NOT NULL DEFAULT 'glad', at timestamptz NOT NULL, tags text[], more jsonb, votes int NOT NULL DEFAULT 0);
	ALTER TABLE app.post REPLICA IDENTITY FULL;
	CREATE TABLE app.vote (post uuid REFERENCES app.post ON DELETE CASCADE, voter text, PRIMARY KEY (post, voter));
	CREATE TABLE app.audit (n bigint PRIMARY KEY, what text, big numeric);
	CREATE TABLE app.booking (id uuid PRIMARY KEY, during tstzrange NOT NULL CHECK (upper(during) - lower(during) < '1 day'), who text NOT NULL, EXCLUDE USING gist (during WITH &&));
	CREATE FUNCTION app.slug() RETURNS trigger LANGUAGE plpgsql SET search_path = app AS 'BEGIN NEW.slug := replace(lower(NEW.title), '' '', ''-''); RETURN NEW; END';
	CREATE TRIGGER slug BEFORE INSERT OR UPDATE ON app.post FOR EACH ROW EXECUTE FUNCTION app.slug();
	CREATE FUNCTION app.count_vote() RETURNS trigger LANGUAGE plpgsql SET search_path = app AS 'BEGIN UPDATE post SET votes = votes + 1 WHERE id = NEW.post; RETURN NULL; END';
	CREATE TRIGGER count AFTER INSERT ON app.vote FOR EACH ROW EXECUTE FUNCTION app.count_vote();

	CREATE FUNCTION app.create_post_owner(id uuid, author text, title text, at timestamptz, tags text[], more jsonb) RETURNS uuid LANGUAGE sql SET search_path = app AS
		'INSERT INTO post (id, author, title, at, tags, more) VALUES (id, author, title, at, tags, more) RETURNING id';
	CREATE FUNCTION app.vote_owner(post uuid, voter text) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO vote VALUES (vote_owner.post, voter)';
	CREATE FUNCTION app.remove_post_owner(post uuid) RETURNS void LANGUAGE sql SET search_path = app AS 'DELETE FROM post WHERE id = remove_post_owner.post';
	CREATE FUNCTION app.rename_post(post uuid, title text, slug text) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE post SET title = rename_post.title, slug = rename_post.slug WHERE id = rename_post.post';
	CREATE FUNCTION app.book_owner(id uuid, during tstzrange, who text) RETURNS boolean LANGUAGE plpgsql SET search_path = app AS
		$$BEGIN IF EXISTS (SELECT FROM booking b WHERE b.during && book_owner.during) THEN RETURN false; END IF; INSERT INTO booking VALUES (id, during, who); RETURN true; END$$;
	REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC;

	CREATE FUNCTION app.create_post(title text, tags text[], more jsonb) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = app AS
		$$BEGIN RETURN pgbridge."app.create_post_owner"(pgbridge.new_id(), session_user::text, title, now(), tags, more); END$$;
	CREATE FUNCTION app.book(hour int) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = app AS
		$$BEGIN RETURN pgbridge.call('app.book_owner', jsonb_build_object('id', pgbridge.new_id(), 'who', session_user,
			'during', tstzrange('2026-01-01 00:00+00'::timestamptz + hour * interval '1 hour', '2026-01-01 02:30+00'::timestamptz + hour * interval '1 hour'))); END$$;
	CREATE FUNCTION app.vote(post uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = app AS
		$$BEGIN PERFORM pgbridge.call('app.vote_owner', jsonb_build_object('post', post, 'voter', session_user)); END$$`

const register = `SELECT pgbridge.register_action(f) FROM unnest(ARRAY['app.create_post_owner(uuid,text,text,timestamptz,text[],jsonb)', 'app.vote_owner(uuid,text)', 'app.remove_post_owner(uuid)',
		'app.rename_post(uuid,text,text)', 'app.book_owner(uuid,tstzrange,text)']::regprocedure[]) f;
	SELECT pgbridge.map_action('app.rename_post(uuid,text,text)', 'app.post', 'update', ARRAY['title', 'slug'], '{"post": "id", "title": "title", "slug": "slug"}')`

// Calls of several roles, and mapped changes, are in the archive by name and
// with who called as a parameter; follower and restored copy equal the source.
func TestActions(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	alice, bob := newRole(t, source), newRole(t, source)
	source.Exec(t, messageBoard)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, register+`; GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT EXECUTE ON FUNCTION app.create_post, app.vote, app.book TO PUBLIC; GRANT SELECT ON app.post TO PUBLIC`)

	as(t, source, alice, `SELECT app.create_post('First post', '{a,"b c",NULL}', '{"x": [1, null, "é"]}')`)
	as(t, source, bob, `BEGIN; SELECT app.create_post('Second', NULL, NULL); SAVEPOINT s; SELECT app.create_post('Undone', NULL, NULL); ROLLBACK TO s;
		SELECT app.vote(id) FROM app.post WHERE title = 'First post'; COMMIT`)
	as(t, source, alice, `SELECT app.vote(id) FROM app.post`)
	source.Exec(t, `UPDATE app.post SET title = 'Third, "really"' WHERE title = 'Second'`)
	source.Exec(t, `UPDATE app.post SET title = 'With a mood', mood = 'cross' WHERE title LIKE 'First%'`) // no rule carries the mood
	source.Exec(t, `INSERT INTO app.audit VALUES (1, 'plain row', 12345678901234567890.123456789)`)
	as(t, source, bob, `DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'pgbridge', repeat('0', 64) || 'c["app.vote_owner",["post","voter"],["x","y"]]'); END $$`)
	source.Exec(t, `SELECT pgbridge.call('app.remove_post_owner', jsonb_build_object('post', id)) FROM app.post WHERE title LIKE 'Third%'`)

	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), pgtest.Dump(t, source))

	want := []string{
		"pgbridge.schema", // the rights
		"app.create_post_owner(id=?, author=" + alice + ", title=First post, at=?, tags={a,\"b c\",NULL}, more={\"x\": [1, null, \"é\"]}) app.post.insert",
		"app.create_post_owner(id=?, author=" + bob + ", title=Second, at=?, tags=NULL, more=NULL) app.post.insert",
		"app.vote_owner(post=?, voter=" + bob + ") app.vote.insert app.post.update",
		"app.vote_owner(post=?, voter=" + alice + ") app.vote.insert app.post.update",
		"app.vote_owner(post=?, voter=" + alice + ") app.vote.insert app.post.update",
		`app.rename_post(post=?, title=Third, "really", slug=third,-"really")`,
		"app.post.update", "app.audit.insert",
		"app.remove_post_owner(post=?) app.post.delete app.vote.delete",
	}
	if got := p.actions(t); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the archive has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// Everybody may execute what he may at the source. Actions were nobody else's there either.
	const open = `SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_proc WHERE pronamespace = 'app'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE')`
	if got, want := follower.Value(t, open), source.Value(t, open); got != want || got != "book create_post vote" {
		t.Errorf("on the follower everybody may execute %s, want what the source says: %s", got, want)
	}
	p.source.Exec(t, `INSERT INTO app.audit VALUES (2)`)
	p.published(t, publishing)
	if got := source.Value(t, `SELECT forged FROM pgbridge.chain`); got != "1" {
		t.Errorf("%s forged marks are counted, want 1", got)
	}
}

// Several roles at once, in each other's way: triggers, cascades, a check and
// an exclusion constraint decide what comes of it, at the origin.
func TestActionsAtOnce(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	roles := []string{newRole(t, source), newRole(t, source), newRole(t, source)}
	source.Exec(t, messageBoard)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, register+`; GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT EXECUTE ON FUNCTION app.create_post, app.vote, app.book TO PUBLIC; GRANT SELECT ON app.post TO PUBLIC`)
	var sessions sync.WaitGroup
	for n, role := range roles {
		conn, err := pgx.Connect(t.Context(), source.URLAs(role))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		sessions.Go(func() {
			for i := range 60 {
				for _, sql := range []string{
					fmt.Sprintf(`SELECT app.create_post('Post %d of %d', ARRAY['x'], '{"n": %[1]d}')`, i, n),
					fmt.Sprintf(`SELECT app.vote(id) FROM (SELECT id FROM app.post ORDER BY hashtext(id::text || '%d') LIMIT 3) few`, i),
					fmt.Sprintf(`BEGIN; SELECT app.book(%d); SELECT app.book(%d); COMMIT`, i*7%40, i*11%40),
				} {
					_ = conn.PgConn().Exec(t.Context(), sql).Close() // one vote each, one booking at a time
					_ = conn.PgConn().Exec(t.Context(), "ROLLBACK").Close()
				}
			}
		})
	}
	sessions.Wait()
	source.Exec(t, `UPDATE app.post SET title = title || '!' WHERE votes > 2; SELECT pgbridge.call('app.remove_post_owner', jsonb_build_object('post', id)) FROM app.post WHERE votes = 2`)
	p.caughtUp(t, follower, publishing, following)
	want := pgtest.Dump(t, source)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), want)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), want)
	for _, table := range []string{"post", "vote", "booking"} {
		if source.Value(t, `SELECT count(*) > 2 FROM app.`+table) != "t" {
			t.Errorf("nothing came of %s", table)
		}
	}
	for _, name := range p.actions(t) {
		if name == "app.booking.insert" || name == "app.vote.insert" || name == "app.post.insert" {
			t.Errorf("%s is not named", name)
		}
	}
}

// newRole makes a role that can log in and nothing else.
func newRole(t testing.TB, db *pgtest.DB) string {
	t.Helper()
	name := "board_" + strings.ToLower(strings.TrimPrefix(db.Name, "Test-db "))[:8] + "_" + string(rune('a'+len(db.Query(t, `SELECT FROM pg_roles WHERE rolname LIKE 'board%'`))))
	db.Exec(t, "CREATE ROLE "+name+" LOGIN")
	t.Cleanup(func() { db.DropRole(t, name) })
	return name
}

// as runs a script as a role.
func as(t testing.TB, db *pgtest.DB, role, script string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URLAs(role))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.PgConn().Exec(t.Context(), script).Close(); err != nil {
		t.Fatalf("as %s: %v", role, err)
	}
}

// actions reads what is in the folder: named actions with their parameters,
// identifiers and times left out, and what a call did; rows by their name.
func (p *pipe) actions(t testing.TB) (all []string) {
	t.Helper()
	for _, body := range p.bodies(t) {
		for r := action.NewReader(body); r.Tx(); {
			for r.Action() {
				all = appendAction(all, r)
			}
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
		}
	}
	return all
}

func appendAction(all []string, r *action.Reader) []string {
	s := r.Shape()
	switch {
	case r.InCall():
		all[len(all)-1] += " " + s.Action()
	case s.Op == action.Call:
		all = append(all, named(s, r.Values()))
	case s.Op == action.Define || s.Op == action.Sequences:
	case s.Function != action.Name{}:
		for r.Row() {
			all = append(all, named(s, r.Values()))
		}
	default:
		all = append(all, s.Action())
	}
	return all
}

func named(s *action.Shape, values []action.Value) string {
	var params []string
	for i, name := range s.Params {
		text, ok := values[i].Text()
		switch {
		case name == "":
			continue
		case name == "id" || name == "post" || name == "at":
			text = "?"
		case !ok:
			text = "NULL"
		}
		params = append(params, name+"="+text)
	}
	return s.Action() + "(" + strings.Join(params, ", ") + ")"
}

// bodies are those of the records in the folder, in order.
func (p *pipe) bodies(t testing.TB) (all [][]byte) {
	t.Helper()
	for seq := uint64(2); ; seq++ {
		refs, err := p.folder.Find(t.Context(), archive.Query{DB: p.db.ID, Writer: p.key.Writer(), Epoch: 1, First: seq, Last: seq})
		if err != nil {
			t.Fatal(err)
		}
		if len(refs) == 0 {
			return all
		}
		raw, err := p.folder.Get(t.Context(), refs[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		record, err := archive.Open(raw)
		if err != nil {
			t.Fatal(err)
		}
		body, err := record.Body(nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, body)
	}
}
