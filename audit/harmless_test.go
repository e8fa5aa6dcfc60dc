package audit

import "testing"

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
