package postgres

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func check(t *testing.T, conn *pgx.Conn, o Options) []Finding {
	t.Helper()
	found, err := Check(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	if status := conn.PgConn().TxStatus(); status != 'I' {
		t.Fatalf("after Check the connection is in state %c, want idle", status)
	}
	return found
}

// ids lists the findings of a severity, each as its id.
func ids(found []Finding, severity Severity) (list []string) {
	for _, f := range found {
		if f.Severity == severity {
			list = append(list, f.ID)
		}
	}
	return list
}

func wantIDs(t *testing.T, found []Finding, severity Severity, want ...string) {
	t.Helper()
	if got := ids(found, severity); !slices.Equal(got, want) {
		t.Errorf("%s findings: got %q, want %q:\n%v", severity, got, want, found)
	}
}

const goodTable = "CREATE TABLE public.good (id int PRIMARY KEY)"

func TestCheckFindsNothingWrong(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, goodTable)
	found := check(t, conn, Options{})
	wantIDs(t, found, Fatal)
	wantIDs(t, found, Warning)

	db, conn := newDatabase(t)
	found = check(t, conn, Options{Role: RoleFollower})
	wantIDs(t, found, Fatal)
	wantIDs(t, found, Warning)
	mustExec(t, conn, "CREATE EXTENSION hstore SCHEMA public; "+goodTable)
	found = check(t, conn, Options{Role: RoleFollower})
	wantIDs(t, found, Fatal, "not-empty")
	if want := (Finding{"not-empty", Fatal, "database " + db.Name, "it is not empty: it has table public.good", "createdb, and join with the new one"}); found[0] != want {
		t.Errorf("got %+v, want %+v", found[0], want)
	}
	if got, want := found[0].String(), "fatal: database "+db.Name+": it is not empty: it has table public.good: createdb, and join with the new one"; got != want {
		t.Errorf("String: got %s, want %s", got, want)
	}
}

// Everything that the zoo has is found, and what the findings say to do about
// the tables, done, leaves none of those findings.
func TestCheckTables(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, zoo+`
		CREATE TABLE public.root (x int PRIMARY KEY) PARTITION BY LIST (x); CREATE TABLE public.leaf PARTITION OF public.root DEFAULT; ALTER TABLE public.root REPLICA IDENTITY FULL;
		CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER "T 1" AFTER INSERT ON public.whole FOR EACH ROW EXECUTE FUNCTION public.f(); ALTER TABLE public.whole ENABLE REPLICA TRIGGER "T 1";
		CREATE RULE r AS ON INSERT TO public.whole DO ALSO NOTIFY x; ALTER TABLE public.whole ENABLE ALWAYS RULE r;
		CREATE TABLE public.member (x int); ALTER EXTENSION plpgsql ADD TABLE public.member;
		CREATE USER MAPPING FOR PUBLIC SERVER nowhere; SELECT lo_create(0);
		CREATE SUBSCRIPTION elsewhere CONNECTION 'dbname=none' PUBLICATION p WITH (connect = false, slot_name = NONE);
		CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER "E 1" ON sql_drop EXECUTE FUNCTION public.e()`)
	found := check(t, conn, Options{})
	got := map[string]string{} // subjects by id
	for _, f := range found {
		if f.Problem == "" || f.Severity == Fatal && f.Fix == "" {
			t.Errorf("%+v has no problem or no fix", f)
		}
		got[f.ID] = strings.TrimPrefix(got[f.ID]+" + "+f.Subject, " + ")
	}
	want := map[string]string{
		"no-key":             "public.bare + public.child + public.empty_columns + public.late",
		"identity-nothing":   "public.silent",
		"identity-index":     "public.lost_index",
		"partition-identity": `"My App".log_2a + public.leaf`,
		"partition-outside":  "public.log_3",
		"partition-new":      "public.root",
		"unlogged":           "public.log_3, public.unlogged",
		"foreign-tables":     "public.far",
		"extension-tables":   "public.member",
		"materialized-views": "public.matview",
		"large-objects":      "large objects",
		"always-triggers":    `"T 1" on public.whole`,
		"always-rules":       "r on public.whole",
		"user-mappings":      "user mappings of server nowhere",
		"event-triggers":     `"E 1"`,
		"generated":          `"My App"."Ta""ble"."double"`,
		"slot-wal-limit":     "max_slot_wal_keep_size",

		"replicated-from-elsewhere": "elsewhere",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !slices.IsSortedFunc(found, func(a, b Finding) int { return a.Severity.rank() - b.Severity.rank() }) {
		t.Error("the worst findings are not first")
	}

	for _, f := range found {
		if f.Severity == Fatal {
			for _, sql := range fixes(f) {
				mustExec(t, conn, sql)
			}
		}
	}
	wantIDs(t, check(t, conn, Options{}), Fatal)

	only := check(t, conn, Options{Tables: []action.Name{{Schema: "public", Name: "whole"}}})
	if slices.Contains(ids(only, Info), "generated") || slices.Contains(ids(only, Warning), "partition-new") {
		t.Errorf("for one table only: got %v, want nothing of other tables", only)
	}
}

// What is found is what the server refuses once the tables are published, or
// what it would leave out in silence.
func TestCheckGenerated(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, `CREATE TABLE public.fine (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id) STORED);
		CREATE TABLE public.inkey (x int, g int GENERATED ALWAYS AS (x) STORED PRIMARY KEY);
		CREATE TABLE public.whole (x int, g int GENERATED ALWAYS AS (x) STORED); ALTER TABLE public.whole REPLICA IDENTITY FULL`)
	tables := []string{"fine", "inkey", "whole"}
	fatal := map[string]bool{"inkey": true, "whole": major(t, conn) >= 18}
	found := check(t, conn, Options{})
	for _, table := range tables {
		is := slices.ContainsFunc(found, func(f Finding) bool {
			return f.ID == "generated-key" && f.Severity == Fatal && f.Subject == "public."+table
		})
		if is != fatal[table] {
			t.Errorf("%s: found %v, want %v: %v", table, is, fatal[table], found)
		}
	}
	mustExec(t, conn, "CREATE PUBLICATION p FOR TABLE public.fine, public.inkey, public.whole")
	for _, table := range tables {
		_, err := conn.Exec(t.Context(), "UPDATE public."+table+" SET "+map[bool]string{true: "id = 1", false: "x = 1"}[table == "fine"])
		if refused := fatal[table] && major(t, conn) >= 18; (err != nil) != refused {
			t.Errorf("%s: the server says %v, want a refusal: %v", table, err, refused)
		}
	}
}

// fixes are the statements that a fix offers, in the last of its alternatives.
func fixes(f Finding) []string {
	if f.ID == "partition-outside" {
		before, _, _ := strings.Cut(f.Fix, ", or ")
		return []string{before}
	}
	_, last, ok := cutLast(f.Fix, ", or ")
	if !ok {
		last = f.Fix
	}
	return []string{last}
}

// A role with nothing but what the findings ask for is enough: without superuser.
func TestCheckRole(t *testing.T) {
	db, admin := newDatabase(t)
	owner := newRole(t, admin, "")
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, `CREATE SCHEMA "Hidden"; CREATE TABLE "Hidden"."T" (id int PRIMARY KEY); CREATE SEQUENCE public.s;
		CREATE TABLE public.policed (id int PRIMARY KEY); ALTER TABLE public.policed ENABLE ROW LEVEL SECURITY; ALTER TABLE public.policed FORCE ROW LEVEL SECURITY`)
	for _, table := range []string{`"Hidden"."T"`, "public.policed"} {
		mustExec(t, admin, "ALTER TABLE "+table+" OWNER TO "+action.QuoteIdent(owner))
	}
	conn := connect(t, db.URLAs(role))
	found := check(t, conn, Options{})
	wantIDs(t, found, Fatal, "create", "row-security", "replication", "ownership", "select")
	for _, f := range found {
		sql := f.Fix
		switch f.ID {
		case "ownership":
			if f.Subject != `"Hidden"."T", public.policed` {
				t.Errorf("ownership of %s, want both tables", f.Subject)
			}
			sql = "GRANT " + action.QuoteIdent(owner) + " TO " + action.QuoteIdent(role)
		case "select":
			if f.Subject != `"Hidden"."T", public.policed, public.s` {
				t.Errorf("select on %s, want both tables and the sequence", f.Subject)
			}
		case "replication":
			sql, _, _ = strings.Cut(sql, " (on RDS")
		case "slot-wal-limit", "schema-changes":
			continue
		}
		mustExec(t, admin, sql)
	}
	conn = connect(t, db.URLAs(role))
	wantIDs(t, check(t, conn, Options{}), Fatal)

	// And it is true: all of init's steps work for this role.
	if err := Install(t.Context(), conn); err != nil {
		t.Error(err)
	}
	tables, err := Tables(t.Context(), conn)
	if err != nil || len(tables) != 2 {
		t.Fatalf("got %d tables, %v, want 2", len(tables), err)
	}
	if err := CreatePublication(t.Context(), conn, DefaultName, []action.Name{tables[0].Name, tables[1].Name}); err != nil {
		t.Error(err)
	}
	dumpBoth(t, findDump(t, conn), db.URLAs(role), "")
	tx := begin(t, conn)
	for _, table := range tables {
		for _, err := range Rows(t.Context(), tx, table) {
			t.Errorf("%s: %v", table.Name, err)
		}
	}
	if _, err := Sequences(t.Context(), tx); err != nil {
		t.Error(err)
	}
	mustExec(t, tx, "SELECT pg_create_logical_replication_slot('role_test', 'pgoutput', true)")
}

func TestCheckFollowerRole(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	conn := connect(t, db.URLAs(role))
	found := check(t, conn, Options{Role: RoleFollower})
	wantIDs(t, found, Fatal, "create", "replica-role")
	wantIDs(t, found, Warning, "origin-functions")
	version := major(t, admin)
	for _, f := range found {
		sql := f.Fix
		if f.ID == "replica-role" && version < 15 {
			sql = "ALTER ROLE " + action.QuoteIdent(role) + " SUPERUSER"
		}
		mustExec(t, admin, sql)
	}
	conn = connect(t, db.URLAs(role))
	if found := check(t, conn, Options{Role: RoleFollower}); len(found) != 0 {
		t.Errorf("after the fixes: got %v, want nothing", found)
	}
	mustExec(t, conn, "SET session_replication_role = replica")
}

// What init made is checked for what it must be.
func TestCheckAfterInit(t *testing.T) {
	db, conn := migrated(t)
	other, _ := newDatabase(t)
	mustExec(t, conn, goodTable+"; CREATE TABLE public.later (id int)")
	slot := "check_" + strings.ToLower(db.Name[len(db.Name)-10:])
	o := Options{Slot: slot, Tables: []action.Name{{Schema: "public", Name: "good"}}}
	good := []action.Name{{Schema: "public", Name: "good"}}
	quoted := "'" + slot + "'"

	elsewhere := connect(t, other.URL())
	mustExec(t, elsewhere, "SELECT pg_create_logical_replication_slot("+quoted+", 'pgoutput')")
	found := check(t, conn, o)
	wantIDs(t, found, Fatal, "slot-taken")
	if !strings.Contains(found[0].Problem, other.Name) {
		t.Errorf("got %v, want the name of the other database", found[0])
	}
	mustExec(t, elsewhere, "SELECT pg_drop_replication_slot("+quoted+")")

	mustExec(t, conn, "SELECT pg_create_logical_replication_slot("+quoted+", 'pgoutput')")
	if err := CreatePublication(t.Context(), conn, DefaultName, good); err != nil {
		t.Fatal(err)
	}
	found = check(t, conn, o)
	wantIDs(t, found, Fatal, "publication-taken", "slot-taken")

	d := Database{Role: RoleWriter, Stage: StageInit, Name: "app", Slot: slot}
	save := func() {
		t.Helper()
		if err := SaveDatabase(t.Context(), conn, d); err != nil {
			t.Fatal(err)
		}
	}
	save()
	wantIDs(t, check(t, conn, o), Fatal)
	d.Stage, d.ID, d.Genesis = StageReady, action.Digest{1}, []byte("record")
	save()
	if err := MarkPublication(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	t.Setenv(DumpVariable, "/does/not/exist") // no longer needed
	found = check(t, conn, Options{})
	wantIDs(t, found, Fatal)
	wantIDs(t, found, Info, "slot-wal-limit", "not-published", "slot-inactive")

	mustExec(t, conn, "ALTER PUBLICATION pgbridge SET (publish = 'insert')")
	wantIDs(t, check(t, conn, Options{}), Fatal, "publication-changed")
	mustExec(t, conn, "DROP PUBLICATION pgbridge; SELECT pg_drop_replication_slot("+quoted+")")
	wantIDs(t, check(t, conn, Options{}), Fatal, "publication-missing", "slot-missing")
	mustExec(t, conn, "SELECT pg_create_logical_replication_slot("+quoted+", 'test_decoding')")
	wantIDs(t, check(t, conn, Options{}), Fatal, "publication-missing", "slot-shape")
	mustExec(t, conn, "SELECT pg_drop_replication_slot("+quoted+")")
}

func TestCheckServerSettings(t *testing.T) {
	c := pgtest.Start(t, pgtest.Config{NoSync: true, Settings: map[string]string{
		"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0", "max_slot_wal_keep_size": "1GB", "synchronous_standby_names": "*",
		"synchronous_commit": "local",
	}})
	db := c.Database(t)
	conn := connect(t, db.URL())
	mustExec(t, conn, "BEGIN; SET LOCAL synchronous_commit = local; "+goodTable+"; COMMIT")
	tx := begin(t, connect(t, db.URL()))
	mustExec(t, tx, "SET LOCAL synchronous_commit = local; INSERT INTO public.good VALUES (1); PREPARE TRANSACTION 'g 1'")
	found := check(t, conn, Options{})
	wantIDs(t, found, Fatal, "wal-level", "free-slots", "free-senders", "synchronous")
	wantIDs(t, found, Warning, "fsync", "slot-wal-limit", "prepared")
	if c.Major() < 18 {
		wantIDs(t, check(t, conn, Options{Role: RoleFollower}), Fatal, "origins", "not-empty")
	}
}

func TestCheckCannotBeMade(t *testing.T) {
	_, conn := newDatabase(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := Check(ctx, conn, Options{}); err == nil || found != nil {
		t.Errorf("got %v, %v, want an error and no findings", found, err)
	}
}

func TestCheckDump(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, goodTable)
	t.Setenv(DumpVariable, fakeDump(t, t.TempDir(), "pg_dump (PostgreSQL) 9.6.1"))
	found := check(t, conn, Options{})
	wantIDs(t, found, Fatal, "pg-dump")
	if !strings.Contains(found[0].Problem, "9.6.1") {
		t.Errorf("got %v, want the version that was found", found[0])
	}
}

// pg_write_all_data, which a follower's service role has, reaches roles without LOGIN.
func TestCheckNamesExposedRoles(t *testing.T) {
	db, admin, service := follower(t)
	d := Database{Role: RoleFollower, Stage: StageReady, Name: "app", ID: action.Digest{1}, Genesis: []byte("record")}
	if err := SaveDatabase(t.Context(), admin, d); err != nil {
		t.Fatal(err)
	}
	role := newRole(t, admin, "NOLOGIN SUPERUSER")
	found := func() bool {
		t.Helper()
		all, err := Check(t.Context(), connect(t, db.URLAs(service)), Options{Role: RoleFollower})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(f Finding) bool { return f.ID == "exposed-role" && strings.Contains(f.Subject, role) })
	}
	if !found() {
		t.Error("a superuser without LOGIN is not named")
	}
	mustExec(t, admin, "ALTER ROLE "+action.QuoteIdent(role)+" LOGIN PASSWORD NULL")
	if found() {
		t.Error("a superuser with LOGIN is named")
	}
}
