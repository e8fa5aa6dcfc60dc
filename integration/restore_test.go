package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// restoredTo is what restore --json prints.
type restoredTo struct {
	Checkpoint, Checked uint64
	Records             int
	Seq                 uint64
	At                  time.Time
	LeftOut             []string `json:"left_out"`
}

func (s *site) restore(t testing.TB, id string, args ...string) (r restoredTo) {
	t.Helper()
	out := s.pgbridge(t, append([]string{"restore", "--json", "--log-level", "warn", "--db-id", id}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("restore --json: %v: %s", err, out)
	}
	return r
}

// shop has what a schema can have that is made after the rows.
const shop = `CREATE SCHEMA app;
	CREATE TABLE app.customer (id int PRIMARY KEY, name text NOT NULL UNIQUE);
	CREATE TABLE app.product (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, price numeric CHECK (price >= 0));
	CREATE TABLE app.sale (id bigserial PRIMARY KEY, customer int NOT NULL REFERENCES app.customer, product int REFERENCES app.product,
		at timestamptz NOT NULL DEFAULT clock_timestamp(), note text);
	CREATE INDEX ON app.sale (customer); CREATE INDEX ON app.sale USING hash (note) WHERE note IS NOT NULL;
	CREATE TABLE app.visit (at date NOT NULL, customer int, PRIMARY KEY (at, customer)) PARTITION BY RANGE (at);
	CREATE TABLE app.visit_2025 PARTITION OF app.visit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
	CREATE TABLE app.visit_2026 PARTITION OF app.visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
	CREATE INDEX ON app.visit (customer);
	CREATE STATISTICS app.both (dependencies) ON customer, product FROM app.sale;
	CREATE FUNCTION app.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.note := coalesce(NEW.note, ''none''); RETURN NEW; END';
	CREATE TRIGGER noted BEFORE INSERT ON app.sale FOR EACH ROW EXECUTE FUNCTION app.noted();
	CREATE FUNCTION app.greet(who int, words text) RETURNS void LANGUAGE sql SECURITY DEFINER AS
		'UPDATE app.customer SET name = words || '' '' || id WHERE id = who';
	REVOKE ALL ON FUNCTION app.greet FROM PUBLIC;
	CREATE MATERIALIZED VIEW app.top AS SELECT customer, count(*) AS n FROM app.sale GROUP BY 1;
	COMMENT ON TABLE app.sale IS 'what was sold';
	INSERT INTO app.customer SELECT i, 'customer ' || i FROM generate_series(1, 500) i;
	INSERT INTO app.product (name, price) SELECT 'product ' || i, i FROM generate_series(1, 50) i;
	INSERT INTO app.sale (customer, product, note) SELECT 1 + i % 500, 1 + i % 50, CASE WHEN i % 3 = 0 THEN repeat('note ', 50) END FROM generate_series(1, 20000) i;
	INSERT INTO app.visit SELECT '2025-06-01'::date + i, 1 + i % 500 FROM generate_series(1, 400) i;
	REFRESH MATERIALIZED VIEW app.top;`

// sell writes n sales, each in a transaction of its own.
func sell(t testing.TB, db *pgtest.DB, n int) {
	t.Helper()
	for range n {
		db.Exec(t, "SELECT pgbridge.call('app.greet', jsonb_build_object('who', 9, 'words', 'hello ' || clock_timestamp()))")
		db.Exec(t, `WITH s AS (INSERT INTO app.sale (customer, product) VALUES (7, 8) RETURNING id)
			UPDATE app.customer SET name = 'changed by ' || (SELECT id FROM s) WHERE id = 7`)
	}
}

// folderSite publishes to a folder.
type folderSite struct {
	*site
	dir, id string
	run     *process
}

// newFolderSite founds a database of what a script makes, and runs.
func newFolderSite(t *testing.T, script string) *folderSite {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, script)
	s := &folderSite{dir: t.TempDir()}
	s.site = newSite(t, db, "dir://"+s.dir).withKey(t)
	s.id = strings.TrimSpace(s.pgbridge(t, "init", "--name", "shop"))
	s.run = s.start(t, "run")
	return s
}

func newShop(t *testing.T) *folderSite {
	t.Helper()
	s := newFolderSite(t, shop)
	s.db.Exec(t, "SELECT pgbridge.register_action('app.greet(int, text)')")
	return s
}

// copyIn is a site on db that has nothing but the archive.
func (s *folderSite) copyIn(t testing.TB, db *pgtest.DB) *site {
	t.Helper()
	return newSite(t, db, "dir://"+s.dir)
}

// checkpointed makes a checkpoint and waits until the chain names it.
func (s *folderSite) checkpointed(t *testing.T) {
	t.Helper()
	s.confirmed(t, s.checkpoint(t).Number)
}

// confirmed waits until the chain names checkpoint n.
func (s *folderSite) confirmed(t *testing.T, n int) {
	t.Helper()
	eventually(t, "the chain names the checkpoint", func() error {
		for _, c := range s.checkpoints(t) {
			if c.Number == n && c.Confirmed {
				return nil
			}
		}
		return errors.New("not yet")
	})
}

// contents is what a restored database must be equal to, in all that is compared.
func contents(t testing.TB, db *pgtest.DB) string {
	t.Helper()
	return pgtest.DumpSchema(t, db, "--no-owner", "--no-privileges") + pgtest.Dump(t, db) + pgtest.Sequences(t, db)
}

// restoreCase is a restore into an empty database, and what comes of it.
type restoreCase struct {
	name            string
	args            []string
	want            string // contents
	began, equalled uint64 // the checkpoints that it begins with, and is compared with on the way
	also            func(*testing.T, *pgtest.DB)
}

func (s *folderSite) requireRestores(t *testing.T, cases []restoreCase) {
	t.Helper()
	const actions = "SELECT string_agg(name || function || definition::text, ' ' ORDER BY name) FROM pgbridge.action"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			db := pgtest.New(t)
			r := s.copyIn(t, db).restore(t, s.id, c.args...)
			pgtest.RequireEqual(t, contents(t, db), c.want)
			pgtest.RequireEqual(t, db.Value(t, actions), s.db.Value(t, actions))
			if r.Checkpoint != c.began || r.Checked != c.equalled {
				t.Errorf("got %+v, want checkpoint %d, equal to %d", r, c.began, c.equalled)
			}
			if c.also != nil {
				c.also(t, db)
			}
		})
	}
}

func TestRestoreFromCheckpoint(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	sell(t, s.db, 20)
	s.checkpointed(t)
	at1 := contents(t, s.db)
	sell(t, s.db, 20)
	published(t, s.db)
	between := time.Now().UTC()
	at2 := contents(t, s.db)
	sell(t, s.db, 20)
	s.checkpointed(t)
	sell(t, s.db, 20)
	published(t, s.db)
	end := contents(t, s.db)

	once := func(t *testing.T, db *pgtest.DB) {
		if got, want := db.Value(t, "SELECT sum(n) FROM app.top"), db.Value(t, "SELECT count(*) FROM app.sale"); got != want {
			t.Errorf("rows in the view: got %s, want %s", got, want)
		}
		if r := s.copyIn(t, db).restore(t, s.id); r.Records != 0 {
			t.Errorf("again: got %+v, want nothing to do", r)
		}
	}
	s.requireRestores(t, []restoreCase{
		{"newest", nil, end, 2, 0, once},
		{"one session", []string{"--jobs", "1"}, end, 2, 0, nil},
		{"an older one", []string{"--checkpoint", "1"}, end, 1, 2, nil},
		{"none", []string{"--checkpoint", "none"}, end, 0, 2, nil},
		{"until a time", []string{"--until", between.Format(time.RFC3339Nano)}, at2, 1, 0, nil},
		{"until a checkpoint", []string{"--until", "checkpoint:1"}, at1, 1, 0, nil},
		{"until a checkpoint, from the genesis", []string{"--until", "checkpoint:1", "--checkpoint", "none"}, at1, 0, 1, nil},
	})
}

// TestRestoreUntilPlaces restores up to each record of a chain.
func TestRestoreUntilPlaces(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var want, places, items []string
	for i := range 3 {
		sell(t, s.db, 1)
		published(t, s.db)
		want = append(want, pgtest.Dump(t, s.db))
		places = append(places, s.db.Value(t, "SELECT epoch || ':' || seq FROM pgbridge.chain"))
		items = append(items, s.db.Value(t, "SELECT d.item_id FROM pgbridge.delivery d JOIN pgbridge.chain c USING (epoch, seq)"))
		if i == 1 {
			s.checkpointed(t)
		}
	}
	for i, place := range places {
		for _, form := range []string{place, place + ":9", s.db.Value(t, "SELECT writer FROM pgbridge.chain") + ":" + place, items[i], items[i] + ":9"} {
			db := pgtest.New(t)
			r := s.copyIn(t, db).restore(t, s.id, "--until", form)
			pgtest.RequireEqual(t, pgtest.Dump(t, db), want[i])
			if wantFrom := uint64(max(0, i-1)); r.Checkpoint != wantFrom {
				t.Errorf("%s: began with %d, want %d", form, r.Checkpoint, wantFrom)
			}
		}
	}
	for _, bad := range []string{"1:9999", "2:1", "checkpoint:9", "2020-01-01", strings.Repeat("ab", 32) + ":" + places[0], strings.Repeat("i", 43)} {
		if _, stderr, code := s.copyIn(t, pgtest.New(t)).try(t, "restore", "--db-id", s.id, "--until", bad); code == 0 {
			t.Errorf("--until %s: got no error, want one: %s", bad, stderr)
		}
	}
}

// TestRestoreUnderLoad restores while the source is written, and then follows.
func TestRestoreUnderLoad(t *testing.T) {
	t.Parallel()
	s, copied := newFolderSite(t, accounts), pgtest.New(t)
	stop := bank(t, s.db)
	s.db.Wait(t, "t", `SELECT count(*) > 50 FROM app.transfer`)
	s.checkpoint(t)
	s.db.Wait(t, "t", fmt.Sprintf(`SELECT count(*) > %s + 50 FROM app.transfer`, s.db.Value(t, "SELECT count(*) FROM app.transfer")))
	p := s.copyIn(t, copied).start(t, "restore", "--db-id", s.id, "--follow")
	eventually(t, "it is restored", func() error {
		if !strings.Contains(p.String(), "restored shop") {
			return errors.New(p.String())
		}
		return nil
	})
	if got := copied.Value(t, "SELECT sum(balance) FROM app.account"); got != "2000000" {
		t.Errorf("sum of all accounts: got %s, want 2000000: the checkpoint is not of one moment", got)
	}
	stop()
	sameData(t, s.db, copied)
	if code := p.stop(t); code != 0 {
		t.Errorf("restore --follow ended with %d:\n%s", code, p)
	}
}

func TestRestoreOfSomeTables(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for _, from := range []string{"none", "1"} {
		sell(t, s.db, 10)
		if from == "1" {
			s.checkpointed(t)
			sell(t, s.db, 10)
		}
		published(t, s.db)
		db := pgtest.New(t)
		c := s.copyIn(t, db)
		r := c.restore(t, s.id, "--table", "app.sale", "--table", "app.product", "--table", "app.visit", "--checkpoint", from)
		for _, table := range []string{"app.sale", "app.product", "app.visit*"} {
			pgtest.RequireEqual(t, pgtest.Dump(t, db, "--table="+table), pgtest.Dump(t, s.db, "--table="+table))
		}
		if got := db.Value(t, "SELECT count(*) FROM app.customer"); got != "0" {
			t.Errorf("customers: got %s, want none", got)
		}
		if got := db.Value(t, "SELECT to_regnamespace('pgbridge') IS NULL"); got != "t" {
			t.Error("schema pgbridge is there still")
		}
		if got, want := strings.Join(r.LeftOut, "; "), "rows of app.customer; foreign key of app.sale to app.customer"; got != want {
			t.Errorf("left out: got %q, want %q", got, want)
		}
	}
	for _, bad := range [][]string{{"--table", "app.nothing"}, {"--table", "sale"}, {"--table", "app.sale", "--follow"}} {
		if _, stderr, code := s.copyIn(t, pgtest.New(t)).try(t, append([]string{"restore", "--db-id", s.id}, bad...)...); code != 2 {
			t.Errorf("%q: exit code %d, want 2: %s", bad, code, stderr)
		}
	}
}

func TestRestoreDryRun(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.checkpointed(t)
	db := pgtest.New(t)
	c := s.copyIn(t, db)
	out := c.pgbridge(t, "restore", "--db-id", s.id, "--dry-run", "--json")
	var plan struct {
		Checkpoint, Chunks int
		Rows, Bytes, Size  int64
		Seconds            float64
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || plan.Checkpoint != 1 || plan.Rows != 20950 || plan.Chunks < 6 || plan.Bytes <= 0 || plan.Size <= plan.Bytes || plan.Seconds <= 0 {
		t.Errorf("plan: got %+v, %v", plan, err)
	}
	if text := (&site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + s.dir}}).pgbridge(t, "restore", "--db-id", s.id, "--dry-run"); !strings.Contains(text, "begin with checkpoint 1") {
		t.Errorf("plan without a database: got\n%s", text)
	}
	if got := db.Value(t, "SELECT count(*) FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('pgbridge', 'app'))"); got != "0" {
		t.Errorf("a dry run made %s relations", got)
	}
	db.Exec(t, "CREATE TABLE other (id int)")
	if stdout, stderr, code := c.try(t, "restore", "--db-id", s.id, "--dry-run"); code != 3 || !strings.Contains(stdout, "not empty") {
		t.Errorf("into one that is not empty: exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code := c.try(t, "restore", "--db-id", s.id); code != 3 || !strings.Contains(stderr, "not empty") {
		t.Errorf("into one that is not empty: exit code %d\n%s", code, stderr)
	}
}

// TestRestoreAcrossSchemaChanges: the schema changes before, beside and after
// checkpoints; each restore has that of its moment.
func TestRestoreAcrossSchemaChanges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.db.Exec(t, "ALTER TABLE app.customer ADD COLUMN mail text DEFAULT 'none'; UPDATE app.customer SET mail = 'a@b' WHERE id < 10")
	s.checkpointed(t)
	at1 := contents(t, s.db)
	s.db.Exec(t, `CREATE TABLE app.extra (id int PRIMARY KEY, customer int REFERENCES app.customer);
		INSERT INTO app.extra SELECT i, i FROM generate_series(1, 100) i; ALTER TABLE app.product RENAME TO good`)
	s.checkpointed(t)
	at2 := contents(t, s.db)
	s.db.Exec(t, "ALTER TABLE app.extra ALTER COLUMN customer TYPE bigint; CREATE INDEX ON app.extra (customer); DROP TABLE app.visit")
	sell(t, s.db, 3)
	s.checkpointed(t)
	sell(t, s.db, 3)
	published(t, s.db)
	end := contents(t, s.db)
	s.requireRestores(t, []restoreCase{
		{"newest", nil, end, 3, 0, nil},
		{"the second", []string{"--checkpoint", "2"}, end, 2, 3, nil},
		{"the first", []string{"--checkpoint", "1"}, end, 1, 3, nil},
		{"none", []string{"--checkpoint", "none"}, end, 0, 3, nil},
		{"as of the second, from the first", []string{"--checkpoint", "1", "--until", "checkpoint:2"}, at2, 1, 2, nil},
		{"as of the first", []string{"--until", "checkpoint:1"}, at1, 1, 0, nil},
	})
}
