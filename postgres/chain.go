package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// Chain is the head of the chain that a database writes: the row of
// pgbridge.chain.
type Chain struct {
	Writer action.Writer
	Epoch  uint32
	Seq    uint64
	Digest action.Digest // of the last record
	// End: every transaction that ends at or before it is in the chain.
	End   action.LSN
	Part  Part
	Clock action.Clock // of the last transaction
	// System and Timeline say which cluster's WAL the positions are of.
	System   uint64
	Timeline uint32
	Named    Definitions   // in force at End
	Schema   action.Digest // that the next record is written against; zero: that of the genesis
}

// Part says how far a huge transaction is in the chain that is not there
// whole. The zero Part means none.
type Part struct {
	LSN   action.LSN // of its commit
	Parts int        // records that hold it so far
	Rows  int64      // changes they hold
}

// ErrNoChain: the database publishes nothing.
var ErrNoChain = errors.New("this database has no chain of its own: run pgbridge init")

// LoadChain reads the head of the chain as q sees it, or returns ErrNoChain.
func LoadChain(ctx context.Context, q Querier) (Chain, error) {
	const query = `SELECT writer, epoch, seq, digest, end_lsn::text, coalesce(part_lsn::text, '0/0'), parts, part_rows, clock,
			system, timeline, definitions, coalesce(schema, '') FROM pgbridge.chain`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return Chain{}, fmt.Errorf("load chain: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanChain)
	if errors.Is(err, pgx.ErrNoRows) {
		return Chain{}, ErrNoChain
	}
	if err != nil {
		return Chain{}, fmt.Errorf("load chain: %w", err)
	}
	return c, nil
}

func scanChain(row pgx.CollectableRow) (c Chain, err error) {
	var (
		writer, digest, end, part, clock, system, schema string
		epoch, seq, timeline                             int64
		named                                            []byte
	)
	err = row.Scan(&writer, &epoch, &seq, &digest, &end, &part, &c.Part.Parts, &c.Part.Rows, &clock, &system, &timeline, &named, &schema)
	if err != nil {
		return Chain{}, err
	}
	var errs [8]error
	c.Epoch, c.Seq, c.Timeline = uint32(epoch), uint64(seq), uint32(timeline)
	c.Writer, errs[0] = action.ParseWriter(writer)
	c.Digest, errs[1] = action.ParseDigest(digest)
	c.End, errs[2] = action.ParseLSN(end)
	c.Part.LSN, errs[3] = action.ParseLSN(part)
	c.Clock, errs[4] = action.ParseClock(clock)
	c.System, errs[5] = strconv.ParseUint(system, 10, 64)
	errs[6] = json.Unmarshal(named, &c.Named)
	if schema != "" {
		c.Schema, errs[7] = action.ParseDigest(schema)
	}
	return c, errors.Join(errs[:]...)
}

// SchemaOr is the schema that the next record is written against, where the
// genesis has that of the argument.
func (c *Chain) SchemaOr(genesis action.Digest) action.Digest {
	if c.Schema.IsZero() {
		return genesis
	}
	return c.Schema
}
