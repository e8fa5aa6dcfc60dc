package storetest

import (
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Chain makes the signed, wrapped records of one writer, for tests. A copy
// goes on from where it was copied, which makes a fork.
type Chain struct {
	Key     archive.Key
	DB      action.Digest
	Genesis archive.Item   // not counted: Next begins at 1
	Header  archive.Header // of the latest record
}

// NewChain begins a database. The same name makes the same bytes.
func NewChain(t *testing.T, name string) *Chain {
	t.Helper()
	key := keyOf(name)
	h := archive.Header{Type: archive.TypeGenesis, Epoch: 1, Seq: 1, System: 7, Timeline: 1}
	record, item := seal(t, key, h, []byte(name))
	h.DB, h.Prev, h.Seq = record.DB(), record.Digest, 0
	return &Chain{Key: key, DB: h.DB, Genesis: item, Header: h}
}

// Guest is the chain that c's writer begins in the database of host.
func (c *Chain) Guest(host *Chain) *Chain {
	g := *c
	g.DB, g.Header.DB, g.Header.Prev, g.Header.Seq = host.DB, host.DB, host.DB, 0
	return &g
}

// Next makes the next record of the chain.
func (c *Chain) Next(t *testing.T, kind archive.Type, body []byte) archive.Item {
	t.Helper()
	c.Header.Type = kind
	c.Header.Seq++
	record, item := seal(t, c.Key, c.Header, body)
	c.Header.Prev = record.Digest
	return item
}

// Query asks for the records from first to last.
func (c *Chain) Query(first, last uint64) archive.Query {
	return archive.Query{DB: c.DB, Writer: c.Key.Writer(), Epoch: c.Header.Epoch, First: first, Last: last}
}

func seal(t *testing.T, key archive.Key, h archive.Header, body []byte) (archive.Record, archive.Item) {
	t.Helper()
	record, err := archive.Seal(key, h, body)
	if err != nil {
		t.Fatalf("seal record: %v", err)
	}
	item, err := archive.Wrap(archive.KeyWallet(key), &record, []string{"app.create_post"})
	if err != nil {
		t.Fatalf("wrap record: %v", err)
	}
	return record, item
}
