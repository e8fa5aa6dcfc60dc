package audit

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// chain yields what was written.
func (w *writer) chain(context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for _, item := range w.items[1:] {
			record, err := archive.Open(item.Data)
			if err != nil {
				w.t.Fatal(err)
			}
			body, err := record.Body(nil)
			if err != nil {
				w.t.Fatal(err)
			}
			if !yield(Entry{record.Header, body}, nil) {
				return
			}
		}
	}
}

func (w *writer) genesis() *postgres.Genesis {
	record, err := archive.Open(w.items[0].Data)
	if err != nil {
		w.t.Fatal(err)
	}
	g, err := openGenesis(&record)
	if err != nil {
		w.t.Fatal(err)
	}
	return &g
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

// changed is columns as text.
func changed(columns []Column) string {
	var all []string
	for _, c := range columns {
		one := c.Name + "="
		if c.Had {
			one += text(c.Old)
		}
		one += ">"
		if c.Has {
			one += text(c.New)
		}
		all = append(all, one)
	}
	return strings.Join(all, " ")
}

func call(name string, value string, effect line) line {
	return line{write: func(b *action.Body) {
		b.Call(action.NewCall(action.Name{Schema: "app", Name: name}, []string{"it"}), [][]byte{[]byte(value)})
		effect.write(b)
		b.EndCall()
	}}
}

func truncate() line {
	return line{write: func(b *action.Body) { b.Truncate(action.NewTruncate(post, false, false)) }}
}

func statement(text string) line {
	return line{write: func(b *action.Body) { b.Row(action.NewSchema(), [][]byte{[]byte(text), []byte("{}")}) }}
}

func rename(from, to, title string) line {
	return row(action.Update, []string{"id"}, []string{"id", "title"}, from, to, title)
}

func requireLines(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// loose is a table without a key.
var (
	loose        = action.Name{Schema: "public", Name: "loose"}
	looseColumns = []string{"a", "b"}
)

func looseRow(op action.Op, key, set []string, values ...string) line {
	return rowOf(loose, op, key, set, values...)
}

// looseGenesis is the genesis with the table loose.
func (w *writer) looseGenesis() *postgres.Genesis {
	g := w.genesis()
	g.Tables = append(g.Tables, postgres.GenesisTable{Name: loose, Identity: postgres.IdentityFull, Key: []string{}})
	return g
}
