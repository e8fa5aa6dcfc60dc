package ddl

import (
	"errors"
	"testing"
)

func TestFiredInside(t *testing.T) {
	const text = "CREATE TABLE a (); ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO b; SELECT 1; DROP TABLE a"
	for _, tt := range []struct {
		name, tag, want string
		n               int
	}{
		{"first", "CREATE TABLE", "CREATE TABLE a ()", 1},
		{"second", "DROP TABLE", "DROP TABLE a", 2},
		{"again", "CREATE TABLE", "CREATE TABLE a ()", 3},
		{"and again", "DROP TABLE", "DROP TABLE a", 6},
		{"another", "CREATE INDEX", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := FiredInside(text, tt.n, tt.tag)
			if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrStatement) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestStatementOf(t *testing.T) {
	const body = "\n SELECT 1; CREATE TABLE a ();\n SELECT 2;"
	if got, err := StatementOf(body, 2, "CREATE TABLE"); got != "CREATE TABLE a ()" || err != nil {
		t.Errorf("got %q, %v, want the second statement", got, err)
	}
	for _, n := range []int{0, 1, 4} {
		if got, err := StatementOf(body, n, "CREATE TABLE"); !errors.Is(err, ErrStatement) {
			t.Errorf("number %d: got %q, %v, want ErrStatement", n, got, err)
		}
	}
}
