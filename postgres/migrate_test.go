package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func TestMigrate(t *testing.T) {
	_, conn := newDatabase(t)
	if ok, err := Installed(t.Context(), conn); ok || err != nil {
		t.Fatalf("before: Installed = %v, %v, want false", ok, err)
	}
	for range 2 {
		if err := Migrate(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := Installed(t.Context(), conn); !ok || err != nil {
		t.Errorf("after: Installed = %v, %v, want true", ok, err)
	}
	got, want := queryText(t, conn, "SELECT concat_ws(' to ', min(version), max(version)) FROM pgbridge.migration"), fmt.Sprintf("1 to %d", len(migrations))
	if got != want {
		t.Errorf("versions in pgbridge.migration: got %s, want %s", got, want)
	}
}

// Whoever reads a function reads what runs: no migration replaces or drops what
// another made. (What is released stays as it is. When such a function has to
// change, this is to say which.)
func TestNothingIsDefinedTwice(t *testing.T) {
	var ours []string
	for _, m := range migrations {
		ours = append(ours, m.text)
	}
	for _, test := range []struct {
		name  string
		texts []string
		want  string
	}{
		{"ours", ours, ""},
		{"replaced", []string{"CREATE FUNCTION pgbridge.f()", "CREATE OR REPLACE FUNCTION pgbridge.f()"}, "pgbridge.f"},
		{"with other parameters", []string{"CREATE FUNCTION pgbridge.f()", "CREATE FUNCTION pgbridge.f(x int)"}, "pgbridge.f"},
		{"overloads beside each other", []string{"CREATE FUNCTION pgbridge.f()\nCREATE FUNCTION pgbridge.f(x int)"}, ""},
		{"dropped", []string{"CREATE VIEW pgbridge.v", "DROP VIEW pgbridge.v"}, "pgbridge.v"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := definedTwice(test.texts); got != test.want {
				t.Errorf("in two migrations: %q, want %q", got, test.want)
			}
		})
	}
}

// definedTwice returns a name that two texts define or drop, or "".
func definedTwice(texts []string) string {
	define := regexp.MustCompile(`(?im)^\s*(?:CREATE|DROP)(?:\s+OR\s+REPLACE)?\s+(?:FUNCTION|PROCEDURE|VIEW)\s+(pgbridge\.\w+)`)
	in := map[string]int{}
	for i, text := range texts {
		for _, m := range define.FindAllStringSubmatch(text, -1) {
			if before, ok := in[m[1]]; ok && before != i {
				return m[1]
			}
			in[m[1]] = i
		}
	}
	return ""
}

func TestMigrateTwiceAtOnce(t *testing.T) {
	db, _ := newDatabase(t)
	var wg sync.WaitGroup
	for range 4 {
		conn := connect(t, db.URL())
		wg.Go(func() {
			if err := Migrate(t.Context(), conn); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// A migration that fails leaves nothing, of those before it neither.
func TestMigrateIsWholeOrNothing(t *testing.T) {
	_, conn := newDatabase(t)
	known := len(migrations)
	broken := append(migrations[:known:known],
		migration{known + 1, "good.sql", "CREATE TABLE pgbridge.good ()"},
		migration{known + 2, "bad.sql", "CREATE TABLE pgbridge.bad (); SELECT 1/0"})
	err := migrate(t.Context(), conn, broken)
	if err == nil || !strings.Contains(err.Error(), "bad.sql") {
		t.Fatalf("got error %v, want one that names bad.sql", err)
	}
	got := queryText(t, conn, "SELECT concat(to_regclass('pgbridge.good'), ' ', to_regclass('pgbridge.bad'))")
	if got != " " {
		t.Errorf("tables left: %q, want none", got)
	}
	broken[known+1].text = "CREATE TABLE pgbridge.bad ()"
	if err := migrate(t.Context(), conn, broken); err != nil {
		t.Errorf("after the repair: %v", err)
	}

	if err := Migrate(t.Context(), conn); !errors.Is(err, ErrNewer) {
		t.Errorf("Migrate of a newer schema: got %v, want ErrNewer", err)
	}
	if _, err := Installed(t.Context(), conn); !errors.Is(err, ErrNewer) {
		t.Errorf("Installed with a newer schema: got %v, want ErrNewer", err)
	}
	mustExec(t, conn, "DELETE FROM pgbridge.migration WHERE version = 2")
	if _, err := Installed(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "changed by hand") {
		t.Errorf("Installed with a hole: got %v, want an error", err)
	}
}

func TestMigrateWithoutSuperuser(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	conn := connect(t, db.URLAs(role))
	if err := Migrate(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "GRANT CREATE ON DATABASE") {
		t.Errorf("without CREATE: got %v, want an error that says what to grant", err)
	}
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(role))
	if err := Migrate(t.Context(), conn); err != nil {
		t.Errorf("with CREATE: %v", err)
	}
	other := connect(t, db.URLAs(newRole(t, admin, "LOGIN")))
	if _, err := other.Exec(t.Context(), "SELECT FROM pgbridge.outbox"); err == nil {
		t.Error("another role reads pgbridge.outbox, want permission denied")
	}
}

func TestMigrateRefusesAForeignSchema(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, "CREATE SCHEMA pgbridge")
	if err := Migrate(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "not made by pgbridge") {
		t.Errorf("got %v, want an error that says the schema is not ours", err)
	}
}

func TestMigrateStopsWithItsContext(t *testing.T) {
	db, conn := newDatabase(t)
	holder := connect(t, db.URL())
	mustExec(t, holder, "SELECT pg_advisory_lock($1)", migrationLock)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Migrate(ctx, conn); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
