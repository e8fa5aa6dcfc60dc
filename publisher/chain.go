package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// Chain is the head of the chain this database writes: the row of
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

// LoadChain reads the head of the chain.
func LoadChain(ctx context.Context, conn *pgx.Conn) (Chain, error) {
	var c Chain
	var writer, digest, end, clock, system, schema string
	var partLSN *string
	var epoch, timeline int64
	var seq int64
	var named []byte
	err := conn.QueryRow(ctx, `SELECT writer, epoch, seq, digest, end_lsn::text, part_lsn::text, parts, part_rows, clock, system, timeline, definitions, coalesce(schema, '') FROM pgbridge.chain`).
		Scan(&writer, &epoch, &seq, &digest, &end, &partLSN, &c.Part.Parts, &c.Part.Rows, &clock, &system, &timeline, &named, &schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return Chain{}, ErrNoChain
	}
	if err != nil {
		return Chain{}, fmt.Errorf("load chain: %w", err)
	}
	var errs [8]error
	c.Epoch, c.Seq, c.Timeline = uint32(epoch), uint64(seq), uint32(timeline)
	c.Writer, errs[0] = action.ParseWriter(writer)
	c.Digest, errs[1] = action.ParseDigest(digest)
	c.End, errs[2] = action.ParseLSN(end)
	c.Clock, errs[3] = action.ParseClock(clock)
	c.System, errs[4] = strconv.ParseUint(system, 10, 64)
	errs[6] = json.Unmarshal(named, &c.Named)
	if schema != "" {
		c.Schema, errs[7] = action.ParseDigest(schema)
	}
	if partLSN != nil {
		c.Part.LSN, errs[5] = action.ParseLSN(*partLSN)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return Chain{}, fmt.Errorf("load chain: %w", err)
	}
	return c, nil
}

// schemaOr is the schema that the next record is written against, where the
// genesis has that of the argument.
func (c *Chain) schemaOr(genesis action.Digest) action.Digest {
	if c.Schema.IsZero() {
		return genesis
	}
	return c.Schema
}
