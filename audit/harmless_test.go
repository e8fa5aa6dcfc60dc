package audit

import (
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func TestLeaves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		statement string
		want      bool
	}{
		{"CREATE INDEX ON app.post (title)", true},
		{"CREATE TABLE app.more (id int)", true},
		{"create table app.more partition of app.all for values in (1)", true},
		{"COMMENT ON TABLE app.post IS 'x'", true},
		{"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", true},
		{"ALTER TYPE mood ADD VALUE 'calm'", true},
		{`ALTER TABLE ONLY app."Post" ADD CONSTRAINT p PRIMARY KEY (id, title)`, true},
		{"ALTER TABLE post ALTER COLUMN title SET NOT NULL", true},
		{"ALTER TABLE post ALTER title SET DEFAULT 'a'", true},
		{"ALTER TABLE post REPLICA IDENTITY FULL", true},
		{"GRANT SELECT ON post TO joe", true},
		{"REVOKE ALL ON post FROM joe", true},
		{"ALTER DEFAULT PRIVILEGES FOR ROLE joe GRANT SELECT ON TABLES TO jim", true},
		{"ALTER TABLE post OWNER TO joe", true},
		{"ALTER SCHEMA app OWNER TO CURRENT_USER", true},
		{"ALTER TABLE post OWNER TO joe, ALTER title SET NOT NULL", true},
		{"ALTER TABLE post OWNER TO joe, DROP title", false},
		{"ALTER TABLE post ADD COLUMN n int", false},
		{"ALTER TABLE post ADD n int DEFAULT 7", false},
		{"ALTER TABLE post ALTER COLUMN title TYPE int", false},
		{"ALTER TABLE post DROP title", false},
		{"ALTER TABLE post RENAME title TO name", false},
		{"ALTER TABLE post RENAME TO posts", false},
		{"ALTER TABLE post ALTER title SET NOT NULL, DROP COLUMN body", false},
		{"ALTER TABLE all ATTACH PARTITION post FOR VALUES IN (1)", false},
		{"ALTER TYPE mood RENAME VALUE 'calm' TO 'quiet'", false},
		{"DROP TABLE post", false},
		{"DROP SCHEMA app CASCADE", false},
		{"ALTER SCHEMA app RENAME TO other", false},
	} {
		if got := leaves(test.statement); got != test.want {
			t.Errorf("%s: got %v, want %v", test.statement, got, test.want)
		}
	}
}

func TestAlters(t *testing.T) {
	t.Parallel()
	x := &expecting{Compare: &Compare{}, byName: map[action.Name]int{}}
	x.table(action.Name{Schema: "app", Name: "post"}).key = []string{"id", "Who"}
	x.table(action.Name{Schema: "app", Name: "Two Words"}).key = []string{"id"}
	x.table(action.Name{Schema: "a", Name: "same"}).key = []string{"id"}
	x.table(action.Name{Schema: "b", Name: "same"}).key = []string{"id"}
	x.table(action.Name{Schema: "app", Name: "keyless"})
	for _, test := range []struct {
		statement string
		want      int // its place, or -1
	}{
		{"ALTER TABLE post ADD COLUMN n int DEFAULT 7", 0},
		{"alter table if exists only APP.post\n  drop column idle, add width int", 0},
		{"ALTER TABLE post ALTER title TYPE varchar(9) USING left(title, 9)", 0},
		{"ALTER TABLE post RENAME title TO name", 0},
		{`ALTER TABLE app."Two Words" ADD n int`, 1},
		{"ALTER TABLE b.same ADD n int", 3},
		{"ALTER TABLE same ADD n int", -1},
		{"ALTER TABLE other ADD n int", -1},
		{"ALTER TABLE keyless ADD n int", -1},
		{"ALTER TABLE post RENAME id TO number", -1},
		{`ALTER TABLE post ALTER "Who" TYPE text`, -1},
		{"ALTER TABLE post ADD n int, DROP COLUMN id", -1},
		{"ALTER TABLE post RENAME TO posts", -1},
		{"ALTER TABLE post SET SCHEMA other", -1},
		{"ALTER TABLE post ATTACH PARTITION x DEFAULT", -1},
		{"ALTER TYPE post ADD n int", -1},
		{"DROP TABLE post", -1},
	} {
		at, ok := x.alters(test.statement)
		if !ok {
			at = -1
		}
		if at != test.want {
			t.Errorf("%s: got %d, want %d", test.statement, at, test.want)
		}
	}
}
