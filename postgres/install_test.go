package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/sql"
)

func TestInstall(t *testing.T) {
	_, conn := newDatabase(t)
	if ok, err := Installed(t.Context(), conn); ok || err != nil {
		t.Fatalf("before: Installed = %v, %v, want false", ok, err)
	}
	for range 2 {
		if err := Install(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := Installed(t.Context(), conn); !ok || err != nil {
		t.Errorf("after: Installed = %v, %v, want true", ok, err)
	}
	got := queryText(t, conn, "SELECT concat_ws('.', tables, revision) FROM pgbridge.installed")
	if want := fmt.Sprintf("%d.%d", len(ours.tables), ours.revision); got != want {
		t.Errorf("installed: got %s, want %s", got, want)
	}
}

// Whoever reads a function reads what runs: no two files make the same one, and each
// file is applied.
func TestFunctionsAreDefinedOnce(t *testing.T) {
	define := regexp.MustCompile(`(?m)^CREATE (?:OR REPLACE )?(?:FUNCTION|VIEW) (pgbridge\.\w+)`)
	in := map[string]string{}
	for _, s := range append(ours.tables, ours.functions...) {
		for _, m := range define.FindAllStringSubmatch(s.text, -1) {
			if before, ok := in[m[1]]; ok && before != s.name {
				t.Errorf("%s is made by %s and by %s", m[1], before, s.name)
			}
			in[m[1]] = s.name
		}
	}
	files, err := fs.Glob(sql.Functions, "functions/*.sql")
	if err != nil || len(files) != len(ours.functions) {
		t.Errorf("%d files of functions, %d in sql.Order (%v)", len(files), len(ours.functions), err)
	}
}

func TestInstallTwiceAtOnce(t *testing.T) {
	db, _ := newDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		conn := connect(t, db.URL())
		wg.Go(func() {
			if err := Install(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// An installation that fails leaves nothing, of the migrations before it neither. A
// database that a newer program has set up is left alone.
func TestInstallIsWholeOrNothing(t *testing.T) {
	_, conn := newDatabase(t)
	next := ours
	next.tables = append(slices.Clip(next.tables), script{"good.sql", "CREATE TABLE pgbridge.good ()"})
	broken := next
	broken.functions = append(slices.Clip(broken.functions), script{"bad.sql", "CREATE TABLE pgbridge.bad (); SELECT 1/0"})
	if err := broken.install(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "bad.sql") {
		t.Fatalf("got error %v, want one that names bad.sql", err)
	}
	got := queryText(t, conn, "SELECT concat(to_regclass('pgbridge.good'), ' ', to_regclass('pgbridge.bad'))")
	if got != " " {
		t.Errorf("tables left: %q, want none", got)
	}
	if err := next.install(t.Context(), conn); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	refusesNewer(t, conn)
	mustExec(t, conn, "DROP TABLE pgbridge.good")
	mustExec(t, conn, "UPDATE pgbridge.installed SET tables = tables - 1, revision = revision + 1")
	refusesNewer(t, conn)
}

func refusesNewer(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if err := Install(t.Context(), conn); !errors.Is(err, ErrNewer) {
		t.Errorf("Install over a newer schema: got %v, want ErrNewer", err)
	}
	if _, err := Installed(t.Context(), conn); !errors.Is(err, ErrNewer) {
		t.Errorf("Installed with a newer schema: got %v, want ErrNewer", err)
	}
}

// A file of functions is applied again when its text changes, and only then. Who owns
// the schema owns what comes new, whoever upgrades; who does not own it may not.
func TestUpgrade(t *testing.T) {
	db, admin := newDatabase(t)
	owner := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(owner))
	old := ours
	old.functions = slices.Clone(old.functions)
	old.functions[0].text = strings.Replace(old.functions[0].text, "pgbridge.is_recent", "pgbridge.was_recent", 1)
	if err := old.install(t.Context(), connect(t, db.URLAs(owner))); err != nil {
		t.Fatal(err)
	}
	other := connect(t, db.URLAs(newRole(t, admin, "LOGIN")))
	if err := Upgrade(t.Context(), other); err == nil {
		t.Error("a stranger has upgraded, want an error")
	}
	const written = "SELECT string_agg(proname || xmin, ' ' ORDER BY oid) FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname = 'fits'"
	before := queryText(t, admin, written)
	if err := Upgrade(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	if got := queryText(t, admin, "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'is_recent' AND pronamespace = 'pgbridge'::regnamespace"); got != action.QuoteIdent(owner) {
		t.Errorf("what is new belongs to %s, want %s", got, owner)
	}
	if after := queryText(t, admin, written); after == before {
		t.Error("a file whose text changed was not applied again")
	}
	before = queryText(t, admin, written)
	if err := Install(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	if after := queryText(t, admin, written); after != before {
		t.Error("a file that did not change was applied again")
	}
}

func TestInstallWithoutSuperuser(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	conn := connect(t, db.URLAs(role))
	if err := Install(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "GRANT CREATE ON DATABASE") {
		t.Errorf("without CREATE: got %v, want an error that says what to grant", err)
	}
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(role))
	if err := Install(t.Context(), conn); err != nil {
		t.Errorf("with CREATE: %v", err)
	}
	other := connect(t, db.URLAs(newRole(t, admin, "LOGIN")))
	if _, err := other.Exec(t.Context(), "SELECT FROM pgbridge.outbox"); err == nil {
		t.Error("another role reads pgbridge.outbox, want permission denied")
	}
}

func TestInstallRefusesAForeignSchema(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, "CREATE SCHEMA pgbridge")
	if err := Install(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "not made by pgbridge") {
		t.Errorf("got %v, want an error that says the schema is not ours", err)
	}
}

func TestInstallStopsWithItsContext(t *testing.T) {
	_, conn := newDatabase(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Install(ctx, conn); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
