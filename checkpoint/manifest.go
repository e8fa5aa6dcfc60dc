package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// Manifest is the body of a checkpoint record: everything that a whole-database
// copy consists of, by number and digest (docs/wire.md, section 7).
type Manifest struct {
	// LSN splits the stream: every transaction whose commit position (Tx.LSN) is
	// before it is in the checkpoint, and no other.
	LSN action.LSN `json:"lsn"`
	// At is the time of the snapshot, in microseconds since 1970.
	At int64 `json:"at"`
	// Heads are the places in the chains of all writers after which the tail
	// begins. Transactions of records after them with a position before LSN are
	// in the checkpoint already.
	Heads []Head `json:"heads"`
	// Server is where the checkpoint was taken.
	Server postgres.GenesisServer `json:"server"`
	// Extensions are what a target must have before anything is loaded.
	Extensions []Extension `json:"extensions"`
	// Roles are those that the schema uses, as postgres.LoadRoles returns them.
	Roles []postgres.ServerRole `json:"roles"`
	// Tables are those published, by name.
	Tables   []postgres.GenesisTable `json:"tables"`
	PreData  []Chunk                 `json:"pre_data"`  // text of postgres.DumpSchema, cut anywhere
	PostData []Chunk                 `json:"post_data"` // the same
	// Files are the rows: one for each table that has storage of its own, so one
	// for each leaf of a partitioned one.
	Files []File `json:"files"`
	// State is the content of each of Tables, in their order.
	State []TableState `json:"state"`
	// Sequences are where they stood, at LSN or a little later.
	Sequences []Sequence `json:"sequences"`
	// Definitions are the named actions in force, by name.
	Definitions map[string]json.RawMessage `json:"definitions"`
	// Views are the materialized views that held rows: a reader refreshes them, in
	// this order, when all rows are there.
	Views []action.Name `json:"views"`
}

// Head is the last record of a writer's chain that the checkpoint knows.
type Head struct {
	Writer action.Writer `json:"writer"`
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"`
	Digest action.Digest `json:"digest"`
	Clock  action.Clock  `json:"clock"`
}

// Extension is an extension and its version at the source.
type Extension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// File is the rows of one table that has storage of its own.
type File struct {
	Table   action.Name `json:"table"`
	Columns []string    `json:"columns"` // of each row, in order
	Chunks  []Chunk     `json:"chunks"`
}

// Chunk names a chunk record. It is found by its number and proven by its digest.
type Chunk struct {
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"` // among the chunks of the manifest's writer in Epoch
	Digest action.Digest `json:"digest"`
	Rows   int64         `json:"rows"`  // lines of COPY text; 0 for a schema
	Size   int64         `json:"size"`  // before compression
	Bytes  int64         `json:"bytes"` // of the record
}

// TableState is the content of a table without regard to the order of its rows:
// how many, and the sum modulo 2^256 (big endian) of the SHA-256 of each row in
// COPY's text format, without the newline, of the columns in the table's order.
type TableState struct {
	Table action.Name   `json:"table"`
	Rows  int64         `json:"rows"`
	Sum   action.Digest `json:"sum"`
}

// Sequence is a sequence as setval(name, Last, Called) restores it.
type Sequence struct {
	Name   action.Name `json:"name"`
	Last   int64       `json:"last"`
	Called bool        `json:"called"`
}

// Encode writes the one form of m: JSON on one line, the fields in the order of
// the types above, and a newline.
func (m *Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return b.Bytes(), nil
}

// ParseManifest reads what Encode wrote, and nothing else.
func ParseManifest(body []byte) (Manifest, error) {
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Manifest{}, fmt.Errorf("manifest: %w (is this pgbridge too old for it?)", err)
	}
	again, err := m.Encode()
	if err != nil {
		return Manifest{}, err
	}
	if !bytes.Equal(again, body) {
		return Manifest{}, errors.New("manifest: not in canonical form")
	}
	return m, nil
}

// Chunks are all that m names, in its order; some may be there twice.
func (m *Manifest) Chunks() []Chunk {
	all := append(append([]Chunk{}, m.PreData...), m.PostData...)
	for _, f := range m.Files {
		all = append(all, f.Chunks...)
	}
	return all
}
