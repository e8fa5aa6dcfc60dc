package publisher

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// origins tells whether rows under a replication origin were applied by pgbridge to this
// database. Such rows are an echo: the stream leaves them out. Any other origin, whatever
// its name, is that of another program, whose rows are published.
type origins struct {
	connect func(context.Context) (*pgx.Conn, error)
	known   map[string]bool
}

// echo tells it of an origin. An applier notes an origin before its first transaction under
// it, so what is not noted when such a transaction arrives is of another program.
func (o *origins) echo(ctx context.Context, name string) (bool, error) {
	if echo, ok := o.known[name]; ok {
		return echo, nil
	}
	conn, err := o.connect(ctx) // once for each name
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var echo bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pgbridge.origin WHERE name = $1)", name).Scan(&echo)
	if err != nil {
		return false, fmt.Errorf("look for replication origin %s: %w", name, err)
	}
	o.known[name] = echo
	return echo, nil
}
