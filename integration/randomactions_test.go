package integration

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Three tables: whose changes can all be mapped, some of them, none.
const mappable = `CREATE SCHEMA app;
	CREATE TABLE app.whole (id int PRIMARY KEY, a text, b numeric, c jsonb); ALTER TABLE app.whole REPLICA IDENTITY FULL; ALTER TABLE app.whole ALTER a SET STORAGE EXTERNAL;
	CREATE TABLE app.half (id int PRIMARY KEY, a text, b int); CREATE TABLE app.free (a text, b int); ALTER TABLE app.free REPLICA IDENTITY FULL;
	CREATE FUNCTION app.tally() RETURNS trigger LANGUAGE plpgsql SET search_path = app AS 'BEGIN INSERT INTO free VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END';
	CREATE TRIGGER tally AFTER INSERT OR DELETE ON app.half FOR EACH ROW EXECUTE FUNCTION app.tally();
	CREATE FUNCTION app.whole_add(id int, a text, b numeric, c jsonb) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO whole VALUES ($1, $2, $3, $4)';
	CREATE FUNCTION app.whole_a(id int, a text) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE whole SET a = $2 WHERE id = $1';
	CREATE FUNCTION app.whole_ab(id int, a text, b numeric) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE whole SET a = $2, b = $3 WHERE id = $1';
	CREATE FUNCTION app.whole_gone(id int) RETURNS void LANGUAGE sql SET search_path = app AS 'DELETE FROM whole WHERE id = $1';
	CREATE FUNCTION app.whole_moved(was int, id int) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE whole SET id = $2 WHERE id = $1';
	CREATE FUNCTION app.half_add(id int, a text, b int) RETURNS void LANGUAGE sql SET search_path = app AS 'INSERT INTO half VALUES ($1, $2, $3)';
	CREATE FUNCTION app.half_set(id int, a text, b int) RETURNS void LANGUAGE sql SET search_path = app AS 'UPDATE half SET a = $2, b = $3 WHERE id = $1';
	CREATE FUNCTION app.many(first int, n int, note text) RETURNS int LANGUAGE plpgsql SET search_path = app AS
		$$BEGIN INSERT INTO half SELECT first + x, note, x FROM generate_series(1, n) x; UPDATE whole SET a = note, b = b + 1 WHERE id % 7 = n % 7; DELETE FROM half WHERE half.id % 11 = n % 11; RETURN n; END$$;
	CREATE FUNCTION app.nested(first int) RETURNS void LANGUAGE plpgsql SET search_path = app AS
		$$BEGIN PERFORM pgbridge."app.many"(first, 2, 'inner'); INSERT INTO free VALUES ('nested', first); END$$;
	REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC`

// definitions of all kinds; one that does not fit what there is fails, and has
// no effect.
var definitions = []string{
	`SELECT pgbridge.register_action(p.oid::regprocedure, $replay) FROM pg_proc p WHERE p.proname = $function AND p.pronamespace = 'app'::regnamespace`,
	`SELECT pgbridge.register_action(p.oid::regprocedure) FROM pg_proc p WHERE p.pronamespace = 'app'::regnamespace AND p.proname <> 'tally'`,
	`SELECT pgbridge.drop_action('app.' || $function)`,
	`SELECT pgbridge.map_action('app.whole_add(int,text,numeric,jsonb)', 'app.whole', 'insert')`,
	`SELECT pgbridge.map_action('app.whole_a(int,text)', 'app.whole', 'update', ARRAY['a'])`,
	`SELECT pgbridge.map_action('app.whole_ab(int,text,numeric)', 'app.whole', 'update', ARRAY['a', 'b'])`,
	`SELECT pgbridge.map_action('app.whole_ab(int,text,numeric)', 'app.whole', 'update')`,
	`SELECT pgbridge.map_action('app.whole_gone(int)', 'app.whole', 'delete')`,
	`SELECT pgbridge.map_action('app.whole_moved(int,int)', 'app.whole', 'update', ARRAY['id'], '{"was": "old.id", "id": "id"}')`,
	`SELECT pgbridge.map_action('app.half_add(int,text,int)', 'app.half', 'insert')`,
	`SELECT pgbridge.map_action('app.half_set(int,text,int)', 'app.half', 'update')`,
}

var mappedChanges = []string{
	`INSERT INTO app.whole SELECT x, 'a' || x, x / 3.0, jsonb_build_object('x', x, 'n', NULL) FROM generate_series($x, $x + $n) x ON CONFLICT DO NOTHING`,
	`INSERT INTO app.whole VALUES ($x, NULL, NULL, NULL) ON CONFLICT (id) DO UPDATE SET a = 'again', c = '"é\"x\\n"'`,
	`UPDATE app.whole SET a = a || '!' WHERE id % 5 = $n % 5`,
	`UPDATE app.whole SET a = repeat('long', 2000) WHERE id = $x`,
	`UPDATE app.whole SET b = b + 1 WHERE id < $x`,
	`UPDATE app.whole SET a = NULL, b = 'NaN' WHERE id = $x`,
	`UPDATE app.whole SET c = '{}' WHERE id = $x`,
	`UPDATE app.whole SET id = id + 1000 WHERE id = $x AND NOT EXISTS (SELECT FROM app.whole WHERE id = $x + 1000)`,
	`DELETE FROM app.whole WHERE id % 9 = $n % 9`,
	`INSERT INTO app.half SELECT x, 'h', x FROM generate_series($x, $x + $n) x ON CONFLICT DO NOTHING`,
	`UPDATE app.half SET b = b + 1 WHERE id % 3 = 0`,
	`UPDATE app.half SET id = id + 5000 WHERE id = $x`,
	`DELETE FROM app.half WHERE id = $x`,
	`INSERT INTO app.free SELECT 'x', $x FROM generate_series(1, 3)`,
	`DELETE FROM app.free WHERE b < $x`,
	`TRUNCATE app.free`,
	`SELECT pgbridge.call('app.many', '{"first": $x0000, "n": $n, "note": "call"}')`,
	`SELECT pgbridge."app.many"($x00000, $n, NULL)`,
	`SELECT pgbridge.call('app.nested', '{"first": $x000}')`,
	`SELECT pgbridge.call('app.whole_a', '{"id": $x, "a": "by call"}')`,
	`DO $$ BEGIN PERFORM pgbridge.call('app.many', '{"first": 1, "n": 3, "note": "undone"}'); RAISE 'no'; EXCEPTION WHEN OTHERS THEN INSERT INTO app.free VALUES ('caught'); END $$`,
}

// Random changes of tables that are mapped, half mapped and not at all, and
// calls, while definitions come and go: the copies are equal, and the archive
// has every change once, whatever it is named.
func TestRandomActions(t *testing.T) {
	randomly(t, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		source, follower := pgtest.New(t), pgtest.New(t)
		source.Exec(t, mappable)
		p := newPipe(t, source)
		source.Exec(t, `SELECT pg_create_logical_replication_slot('oracle_' || oid, 'test_decoding') FROM pg_database WHERE datname = current_database()`)
		publishing, following := p.publish(t), p.follow(t, follower)
		for range 120 {
			_ = source.ExecErr(randomTransaction(r)) // some fail
			switch r.IntN(40) {
			case 0: // what is changed meanwhile is named by what was in force then
				publishing.stop(t)
				for range r.IntN(20) {
					_ = source.ExecErr(randomTransaction(r))
				}
				publishing = p.publish(t)
			case 1:
				following.stop(t)
				following = p.follow(t, follower)
			}
		}
		p.caughtUp(t, follower, publishing, following)
		want := pgtest.Dump(t, source)
		pgtest.RequireEqual(t, pgtest.Dump(t, follower), want)
		pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), want)
		if got, want := p.changes(t), decoded(t, source); !maps.Equal(got, want) {
			t.Errorf("the archive has %v, the WAL %v", got, want)
		}
		named := p.actions(t)
		calls := slices.DeleteFunc(slices.Clone(named), func(name string) bool { return !strings.Contains(name, "(") })
		if t.Logf("%d actions, %d of them named", len(named), len(calls)); len(named) == len(calls) || len(calls) == 0 {
			t.Error("this test shows nothing")
		}
	})
}

var functions = []string{"whole_add", "whole_a", "whole_ab", "whole_gone", "whole_moved", "half_add", "half_set", "many", "nested"}

// randomTransaction is a script: definitions now and then, changes, savepoints.
func randomTransaction(r *rand.Rand) string {
	parts := []string{"BEGIN"}
	for range 1 + r.IntN(4) {
		all := mappedChanges
		if r.IntN(4) == 0 {
			all = definitions
		}
		statement := strings.NewReplacer("$replay", []string{"'function'", "'rows'"}[r.IntN(2)], "$function", "'"+functions[r.IntN(len(functions))]+"'",
			"$x", strconv.Itoa(r.IntN(60)), "$n", strconv.Itoa(1+r.IntN(12))).Replace(all[r.IntN(len(all))])
		switch r.IntN(6) {
		case 0:
			statement = "SAVEPOINT s; " + statement + "; ROLLBACK TO s"
		case 1:
			statement = "SAVEPOINT s; " + statement + "; RELEASE s"
		}
		parts = append(parts, statement)
	}
	return strings.Join(append(parts, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[r.IntN(4)]), "; ")
}

// changes counts the row changes in the archive, by table and operation.
func (p *pipe) changes(t testing.TB) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, body := range p.bodies(t) {
		for r := action.NewReader(body); r.Tx(); {
			for r.Action() {
				s := r.Shape()
				if s.Op == action.Truncate {
					all[s.RowAction()]++
				}
				for r.Row() {
					if s.Op.Rows() {
						all[s.RowAction()]++
					}
				}
			}
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
		}
	}
	return all
}

// decoded counts what another decoder finds in the WAL.
func decoded(t testing.TB, db *pgtest.DB) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, row := range db.Query(t, `SELECT lower(m[1] || '.' || m[2]) FROM pg_replication_slots s,
		pg_logical_slot_get_changes(s.slot_name, NULL, NULL, 'skip-empty-xacts', 'on') c,
		regexp_matches(c.data, '^table (app\.\w+): (INSERT|UPDATE|DELETE|TRUNCATE)') m
		WHERE s.database = current_database() AND s.plugin = 'test_decoding'`) {
		all[row[0]]++
	}
	return all
}

// An action may call another one that its own transaction has defined.
func TestCalledWhereDefined(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, mappable)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	source.Exec(t, `SELECT pgbridge.register_action('app.nested(int)')`)
	source.Exec(t, `BEGIN; SELECT pgbridge.register_action('app.many(int,int,text)'); SELECT pgbridge.call('app.nested', '{"first": 29000}'); COMMIT`)
	source.Exec(t, `BEGIN; SELECT pgbridge.call('app.nested', '{"first": 30000}'); SELECT pgbridge.drop_action('app.many'); COMMIT`)
	p.caughtUp(t, follower, publishing, following)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
}
