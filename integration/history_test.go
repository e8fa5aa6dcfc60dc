package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

var historyHead = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}Z [0-9a-f]{64}:1:\d+:\d+ `)

// The life of a row, as it was lived.
func TestHistory(t *testing.T) {
	t.Parallel()
	url := "dir://" + t.TempDir()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE post (id int PRIMARY KEY, title text, body text); INSERT INTO post VALUES (1, 'first', NULL);
		CREATE TABLE vote (post int, who text, n int, PRIMARY KEY (post, who))`)
	writer := newSite(t, db, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "history"))
	writer.start(t, "run")
	db.Exec(t, `CREATE FUNCTION write_post(id int, title text) RETURNS void LANGUAGE sql AS 'INSERT INTO public.post VALUES (id, title, ''…'')';
		REVOKE EXECUTE ON FUNCTION write_post FROM PUBLIC; SELECT pgbridge.register_action('write_post(int, text)')`)
	db.Exec(t, `SELECT pgbridge.call('public.write_post', '{"id": 7, "title": "hello"}')`)
	db.Exec(t, `UPDATE post SET title = 'hello, world' WHERE id = 7`)
	db.Exec(t, `UPDATE post SET id = 8 WHERE id = 7`)
	db.Exec(t, `INSERT INTO vote VALUES (8, 'a=b, c', 1), (8, 'x', 1)`)
	db.Exec(t, `UPDATE vote SET n = n + 1`)
	db.Exec(t, `BEGIN; UPDATE post SET title = NULL WHERE id = 8; DELETE FROM post WHERE id = 8; COMMIT`)
	db.Exec(t, `INSERT INTO post VALUES (7, 'another', NULL)`)
	published(t, writer.db)
	reader := &site{env: []string{"PGBRIDGE_ARCHIVE=" + url}}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"public.post", "7"}, `insert id=7 by public.write_post(id=7, title="hello")
    body: "…"
    id: 7
    title: "hello"
update id=7
    title: "hello" -> "hello, world"
update id=7
    id: 7 -> 8
update id=8
    title: "hello, world" -> null
delete id=8
    body: "…" ->
    id: 8 ->
    title: null ->
insert id=7
    body: null
    id: 7
    title: "another"
`},
		{[]string{"public.post", "id=1"}, `insert copy id=1
    body: null
    id: 1
    title: "first"
`},
		{[]string{"public.vote", "who=a=b, c", "post=8"}, `insert post=8 who="a=b, c"
    n: 1
    post: 8
    who: "a=b, c"
update post=8 who="a=b, c"
    n: 1 -> 2
`},
	} {
		var got strings.Builder
		for line := range strings.Lines(reader.pgbridge(t, append([]string{"history", "--db-id", id}, test.args...)...)) {
			got.WriteString(line[len(historyHead.FindString(line)):])
		}
		if got.String() != test.want {
			t.Errorf("history %v: got\n%s\nwant\n%s", test.args, got.String(), test.want)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		say  string
	}{
		{[]string{"public.post", "99"}, 1, "no such row"},
		{[]string{"public.vote", "8"}, 2, "post, who"},
		{[]string{"public.vote", "post=8"}, 1, "post, who"},
		{[]string{"post", "8"}, 2, "schema.name"},
		{[]string{"public.post"}, 2, "KEY"},
	} {
		if _, stderr, code := reader.try(t, append([]string{"history", "--db-id", id}, test.args...)...); code != test.code || !strings.Contains(stderr, test.say) {
			t.Errorf("history %v: got exit code %d, %s, want %d and %q", test.args, code, stderr, test.code, test.say)
		}
	}
}

// state is the rows of a table by key, and of one without by their text.
func state(t testing.TB, db *pgtest.DB, table, key string) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for _, row := range db.Query(t, fmt.Sprintf(`SELECT %s::text, to_json(r)::text FROM (SELECT * FROM %s) r`, key, table)) {
		var values map[string]*string
		text := regexp.MustCompile(`:(-?\d+)([,}])`).ReplaceAllString(row[1], `:"$1"$2`) // numbers as text
		if err := json.Unmarshal([]byte(text), &values); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		flat := map[string]string{}
		for name, v := range values {
			flat[name] = "NULL"
			if v != nil {
				flat[name] = *v
			}
		}
		for all[row[0]] != nil {
			row[0] += "'"
		}
		all[row[0]] = flat
	}
	return all
}

// between is what differs between two states, a line for each row.
func between(table string, before, after map[string]map[string]string) (lines []string) {
	for key, was := range before {
		is, ok := after[key]
		if !ok {
			lines = append(lines, fmt.Sprintf("%s deleted %s", table, key))
			continue
		}
		var columns []string
		for _, name := range slices.Sorted(maps.Keys(was)) {
			if was[name] != is[name] {
				columns = append(columns, fmt.Sprintf("%s:%s>%s", name, was[name], is[name]))
			}
		}
		if len(columns) > 0 {
			lines = append(lines, fmt.Sprintf("%s updated %s %s", table, key, strings.Join(columns, " ")))
		}
	}
	for key := range after {
		if before[key] == nil {
			lines = append(lines, fmt.Sprintf("%s inserted %s", table, key))
		}
	}
	return lines
}

// diffed is what pgbridge diff says, as between says it.
func diffed(t testing.TB, s *site, args ...string) (lines []string) {
	t.Helper()
	var c struct {
		Rows []struct {
			Table, Operation string
			Times            int
			Key              []struct{ Value *string }
			Columns          []struct {
				Name     string
				Old, New *string
			}
		}
	}
	text := func(s *string) string {
		if s == nil {
			return "NULL"
		}
		return *s
	}
	out := s.pgbridge(t, append([]string{"diff", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &c); err != nil {
		t.Fatalf("diff --json: %v: %s", err, out)
	}
	for _, r := range c.Rows {
		line := r.Table + " " + r.Operation
		for _, k := range r.Key {
			line += " " + text(k.Value)
		}
		if r.Operation == "updated" || len(r.Key) == 0 {
			for _, column := range r.Columns {
				line += fmt.Sprintf(" %s:%s>%s", column.Name, text(column.Old), text(column.New))
			}
		}
		for range max(1, r.Times) {
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return lines
}

// The difference of any two moments is that of what the database held then.
func TestDiffOfRandomMoments(t *testing.T) {
	t.Parallel()
	url := "dir://" + t.TempDir()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, a int, b text); ALTER TABLE item ALTER b SET STORAGE EXTERNAL;
		INSERT INTO item SELECT n, n, repeat('x', n * 100) FROM generate_series(1, 40) n;
		CREATE TABLE whole (id int PRIMARY KEY, a int); ALTER TABLE whole REPLICA IDENTITY FULL; INSERT INTO whole SELECT n, n FROM generate_series(1, 40) n`)
	writer := newSite(t, db, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "diff"))
	writer.start(t, "run")
	type moment struct {
		at          string
		item, whole map[string]map[string]string
	}
	var moments []moment
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		moments = append(moments, moment{
			db.Value(t, `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`),
			state(t, db, "item", "id"), state(t, db, "whole", "id"),
		})
		for range 25 {
			table, n, m := []string{"item", "whole"}[random.IntN(2)], random.IntN(60)+1, random.IntN(60)+1
			switch random.IntN(12) {
			case 0, 1, 2, 3:
				db.Exec(t, fmt.Sprintf(`UPDATE %s SET a = %d WHERE id IN (%d, %d)`, table, random.IntN(3), n, m))
			case 4, 5, 6:
				db.Exec(t, fmt.Sprintf(`INSERT INTO %s (id, a) VALUES (%d, %d) ON CONFLICT DO NOTHING`, table, n, m))
			case 7, 8:
				db.Exec(t, fmt.Sprintf(`DELETE FROM %s WHERE id = %d`, table, n))
			case 9:
				db.Exec(t, fmt.Sprintf(`UPDATE %s SET id = %d WHERE id = %d AND NOT EXISTS (SELECT FROM %[1]s WHERE id = %[2]d)`, table, m, n))
			case 10:
				db.Exec(t, fmt.Sprintf(`UPDATE item SET b = repeat('y', %d) WHERE id = %d`, 10*m, n))
			case 11:
				if random.IntN(4) == 0 {
					db.Exec(t, fmt.Sprintf(`TRUNCATE %s; INSERT INTO %[1]s (id, a) SELECT n, n FROM generate_series(1, 20) n`, table))
				}
			}
		}
	}
	moments = append(moments, moment{"", state(t, db, "item", "id"), state(t, db, "whole", "id")})
	published(t, writer.db)
	reader := &site{env: []string{"PGBRIDGE_ARCHIVE=" + url}}
	for i, from := range moments[:len(moments)-1] {
		for _, to := range moments[i+1:] {
			want := slices.Concat(between("public.item", from.item, to.item), between("public.whole", from.whole, to.whole))
			slices.Sort(want)
			args := []string{"--db-id", id, "--from", from.at}
			if to.at != "" {
				args = append(args, "--to", to.at)
			}
			if got := diffed(t, reader, args...); !slices.Equal(got, want) {
				t.Errorf("diff %v: got\n%s\nwant\n%s", args[2:], briefly(got), briefly(want))
			}
		}
	}
	if got := diffed(t, reader, "--db-id", id, "--from", moments[1].at, "--to", moments[1].at); len(got) != 0 {
		t.Errorf("diff of one moment: got %q, want nothing", got)
	}
	if _, stderr, code := reader.try(t, "diff", "--db-id", id, "--from", moments[2].at, "--to", moments[1].at); code != 2 || !strings.Contains(stderr, "before the first") {
		t.Errorf("the wrong way round: got exit code %d, %s", code, stderr)
	}
	writer.pgbridge(t, "checkpoint", "create")
	db.Exec(t, `UPDATE whole SET a = a + 1 WHERE id = (SELECT min(id) FROM whole)`)
	published(t, writer.db)
	eventually(t, "the difference since a checkpoint", func() error {
		out, stderr, code := reader.try(t, "diff", "--db-id", id, "--from", "checkpoint:1", "--table", "public.whole")
		if code != 0 || !strings.HasSuffix(out, "0 inserted, 1 updated, 0 deleted\n") {
			return errors.New(out + stderr)
		}
		return nil
	})
}

func briefly(lines []string) string {
	for i, line := range lines {
		lines[i] = regexp.MustCompile(`x{20,}|y{20,}`).ReplaceAllString(line, "…")
	}
	return strings.Join(lines, "\n")
}
