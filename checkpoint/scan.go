package checkpoint

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// ScanTable reads every row of t, with its partitions, as tx sees them and returns
// what a manifest's State would say of the table. The session must be of package
// sql (Connect): the text of values depends on its settings.
func ScanTable(ctx context.Context, tx pgx.Tx, t postgres.Table) (TableState, error) {
	var w sumWriter
	if _, err := postgres.CopyRows(ctx, tx, t, &w); err != nil {
		return TableState{}, err
	}
	return w.State(t.Name), nil
}

// sumWriter takes a row with each Write: the protocol has one in each message.
type sumWriter struct{ Sum }

func (w *sumWriter) Write(p []byte) (int, error) {
	if len(p) == 0 || p[len(p)-1] != '\n' {
		return 0, errNoRow
	}
	w.Add(p[:len(p)-1])
	return len(p), nil
}

var errNoRow = errors.New("the server did not send a whole row")

// Differences are the names of the tables of want whose state in got is another,
// or is not there, and of those that only got has. Both are by table, each once.
func Differences(want, got []TableState) []action.Name {
	have := make(map[action.Name]TableState, len(got))
	for _, s := range got {
		have[s.Table] = s
	}
	var names []action.Name
	for _, s := range want {
		if other, ok := have[s.Table]; !ok || other != s {
			names = append(names, s.Table)
		}
		delete(have, s.Table)
	}
	for _, s := range got {
		if _, left := have[s.Table]; left {
			names = append(names, s.Table)
		}
	}
	return names
}
