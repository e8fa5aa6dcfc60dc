package slot

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
)

// Conn is a replication connection. Not safe for concurrent use, but for what
// Stream says.
type Conn struct {
	pg     *pgconn.PgConn
	wire   *wire
	gather *gather
}

// Connect opens a replication connection. config must ask for one
// (replication=database) and pin the session's settings: values are text as
// this session prints it.
func Connect(ctx context.Context, config *pgconn.Config) (*Conn, error) {
	c := &Conn{}
	config = config.Copy()
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newGathered(conn), nil
	}
	config.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		c.wire = newWire(conn)
		if secured, ok := conn.(*tls.Conn); ok {
			conn = secured.NetConn()
		}
		c.gather = conn.(gathered).gather
		return c.wire, nil
	}
	pg, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect for replication: %w", err)
	}
	c.pg = pg
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close(ctx context.Context) error { return c.pg.Close(ctx) }

// System names the cluster at the other end.
type System struct {
	ID       uint64
	Timeline uint32
	LSN      action.LSN // end of the WAL that is flushed
}

// Identify asks who is at the other end.
func (c *Conn) Identify(ctx context.Context) (System, error) {
	r, err := pglogrepl.IdentifySystem(ctx, c.pg)
	if err != nil {
		return System{}, fmt.Errorf("identify system: %w", err)
	}
	id, err := strconv.ParseUint(r.SystemID, 10, 64)
	if err != nil {
		return System{}, fmt.Errorf("identify system: %w", err)
	}
	return System{ID: id, Timeline: uint32(r.Timeline), LSN: action.LSN(r.XLogPos)}, nil
}

// Created is a new slot: everything committed before LSN is in the snapshot,
// everything after is in the stream, nothing is in both. The snapshot lives
// until the next command on the connection that made it.
type Created struct {
	LSN      action.LSN
	Snapshot string
}

// Create makes a durable logical slot.
func (c *Conn) Create(ctx context.Context, name string) (Created, error) {
	return c.create(ctx, name, pglogrepl.CreateReplicationSlotOptions{})
}

// CreateTemporary makes a logical slot that is gone when the connection is. It
// waits for every transaction that was running when it began, as Create does.
func (c *Conn) CreateTemporary(ctx context.Context, name string) (Created, error) {
	return c.create(ctx, name, pglogrepl.CreateReplicationSlotOptions{Temporary: true})
}

func (c *Conn) create(ctx context.Context, name string, options pglogrepl.CreateReplicationSlotOptions) (Created, error) {
	if err := checkName(name); err != nil {
		return Created{}, err
	}
	options.Mode, options.SnapshotAction = pglogrepl.LogicalReplication, "EXPORT_SNAPSHOT"
	r, err := pglogrepl.CreateReplicationSlot(ctx, c.pg, name, "pgoutput", options)
	if err != nil {
		return Created{}, fmt.Errorf("create slot %s: %w", name, err)
	}
	lsn, err := action.ParseLSN(r.ConsistentPoint)
	if err != nil {
		return Created{}, fmt.Errorf("create slot %s: %w", name, err)
	}
	return Created{LSN: lsn, Snapshot: r.SnapshotName}, nil
}

// Drop removes a slot, waiting for its last user to go. A slot that does not
// exist is no error.
func (c *Conn) Drop(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := pglogrepl.DropReplicationSlot(ctx, c.pg, name, pglogrepl.DropReplicationSlotOptions{Wait: true})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "42704" { // undefined_object
		return nil
	}
	if err != nil {
		return fmt.Errorf("drop slot %s: %w", name, err)
	}
	return nil
}

// validName is the server's rule for the names of slots, narrowed so that the
// name needs no quotes: the protocol's commands are built from it. Publication
// names are held to the same rule.
var validName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func checkName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%q is no name for a slot or publication: use lower-case letters, digits and underscores", name)
	}
	return nil
}
