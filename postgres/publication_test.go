package postgres

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func TestPublication(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(role))
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, `CREATE SCHEMA "S.1"; CREATE TABLE "S.1"."A""b" (x int PRIMARY KEY); CREATE TABLE "S.1".c (x int PRIMARY KEY);
		CREATE TABLE "S.1".c_child () INHERITS ("S.1".c);
		CREATE TABLE "S.1".p (x int PRIMARY KEY) PARTITION BY LIST (x); CREATE TABLE "S.1".p_1 PARTITION OF "S.1".p DEFAULT`)
	ab, c, p := action.Name{Schema: "S.1", Name: `A"b`}, action.Name{Schema: "S.1", Name: "c"}, action.Name{Schema: "S.1", Name: "p"}

	if _, err := LoadPublication(t.Context(), conn, DefaultName); !errors.Is(err, ErrNoPublication) {
		t.Errorf("none yet: got %v, want ErrNoPublication", err)
	}
	if err := CreatePublication(t.Context(), conn, DefaultName, []action.Name{ab, c, p}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadPublication(t.Context(), conn, DefaultName)
	if want := (Publication{Name: DefaultName, Tables: []action.Name{ab, c, p}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for range 2 {
		if err := DropPublication(t.Context(), conn, DefaultName); err != nil {
			t.Fatal(err)
		}
	}
	if err := CreatePublication(t.Context(), conn, DefaultName, nil); err != nil {
		t.Errorf("of no table: %v", err)
	}
}

func TestPublicationFaults(t *testing.T) {
	_, conn := newDatabase(t)
	version := major(t, conn)
	mustExec(t, conn, "CREATE TABLE public.t (x int PRIMARY KEY, y int)")
	const shape = " WITH (publish_via_partition_root = true)"
	for _, tt := range []struct {
		publication, want string
		major             int
	}{
		{"FOR TABLE public.t" + shape, "", 14},
		{"FOR ALL TABLES" + shape, "it is FOR ALL TABLES", 14},
		{"FOR TABLE public.t", "publish_via_partition_root is off", 14},
		{"FOR TABLE public.t WITH (publish = 'insert', publish_via_partition_root = true)", "it leaves out operations", 14},
		{"FOR TABLE public.t WHERE (x > 1)" + shape, "it leaves out rows of public.t (WHERE)", 15},
		{"FOR TABLE public.t (x)" + shape, "it leaves out columns of public.t", 15},
		{"FOR TABLES IN SCHEMA public" + shape, "it takes whole schemas", 15},
		{"FOR TABLE public.t WITH (publish_generated_columns = stored, publish_via_partition_root = true)", "it publishes generated columns", 18},
	} {
		if version < tt.major {
			continue
		}
		t.Run(tt.publication, func(t *testing.T) {
			mustExec(t, conn, "DROP PUBLICATION IF EXISTS p")
			mustExec(t, conn, "CREATE PUBLICATION p "+tt.publication)
			got, err := LoadPublication(t.Context(), conn, "p")
			if err != nil || strings.Join(got.Faults, "; ") != tt.want {
				t.Errorf("got %q, %v, want %q", got.Faults, err, tt.want)
			}
		})
	}
}

func TestServer(t *testing.T) {
	db, admin := newDatabase(t)
	conn := connect(t, db.URLAs(newRole(t, admin, "LOGIN")))
	got, err := LoadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	if got.Major() < OldestMajor || !strings.HasPrefix(got.Text, queryText(t, conn, "SELECT ($1::int / 10000)::text", got.Version)) {
		t.Errorf("version %d, %q: do not agree", got.Version, got.Text)
	}
	if got.System == 0 || got.Timeline != 1 || got.Standby || got.Encoding != "UTF8" || got.Collate == "" || got.CType == "" {
		t.Errorf("got %+v, want timeline 1 and the encoding and locale of initdb", got)
	}
}

// Whatever changes the publication changes its mark, also when it is undone.
func TestPublicationMarked(t *testing.T) {
	_, conn := migrated(t)
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageInit, Name: "app"}); err != nil {
		t.Fatal(err)
	}
	all := []string{
		"ALTER PUBLICATION pgbridge DROP TABLE public.t; ALTER PUBLICATION pgbridge ADD TABLE public.t",
		"ALTER PUBLICATION pgbridge ADD TABLE public.u",
		"DROP TABLE public.t",
		"ALTER PUBLICATION pgbridge SET (publish = 'insert'); ALTER PUBLICATION pgbridge SET (publish = 'insert, update, delete, truncate')",
		"ALTER PUBLICATION pgbridge SET (publish_via_partition_root = false)",
		"ALTER PUBLICATION pgbridge RENAME TO other",
		"DROP PUBLICATION pgbridge",
		"DROP PUBLICATION pgbridge; CREATE PUBLICATION pgbridge FOR TABLE public.t" + publicationOptions,
	}
	if major(t, conn) >= 15 {
		all = append(all, "ALTER PUBLICATION pgbridge SET TABLE public.t WHERE (x > 1)", "ALTER PUBLICATION pgbridge SET TABLE public.t (x)",
			"ALTER PUBLICATION pgbridge ADD TABLES IN SCHEMA public")
	}
	for _, change := range all {
		mustExec(t, conn, "CREATE TABLE public.t (x int PRIMARY KEY, y int); CREATE TABLE public.u (x int PRIMARY KEY)")
		if err := CreatePublication(t.Context(), conn, DefaultName, []action.Name{{Schema: "public", Name: "t"}}); err != nil {
			t.Fatal(err)
		}
		if err := MarkPublication(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
		mustExec(t, conn, "ALTER TABLE public.t ADD z int") // concerns it not
		if got, err := PublicationMarked(t.Context(), conn); err != nil || !got {
			t.Errorf("before %s: marked %v, %v, want true", change, got, err)
		}
		for statement := range strings.SplitSeq(change, ";") {
			mustExec(t, conn, statement)
		}
		if got, err := PublicationMarked(t.Context(), conn); err != nil || got {
			t.Errorf("after %s: marked %v, %v, want false", change, got, err)
		}
		mustExec(t, conn, "DROP PUBLICATION IF EXISTS pgbridge, other; DROP TABLE IF EXISTS public.t, public.u")
	}
}
