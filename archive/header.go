package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgbridge/pgbridge/action"
)

// Type says what the body of a record holds.
type Type string

// The types of wire version 1 (docs/wire.md, section 3).
const (
	TypeGenesis    Type = "genesis"
	TypePolicy     Type = "policy"
	TypeActions    Type = "actions"
	TypeCheckpoint Type = "checkpoint"
	TypeChunk      Type = "chunk"
	TypeAck        Type = "ack"
)

// chainTypes are those of the records that make up a chain. Checkpoints and
// chunks are beside it: each of the two is numbered for itself.
var chainTypes = []Type{TypeGenesis, TypePolicy, TypeActions, TypeAck}

// Chained tells whether records of the type are part of a writer's chain.
func (t Type) Chained() bool { return slices.Contains(chainTypes, t) }

// series names what records of the type are numbered with: it is empty for those
// of a chain, and where the type is not known.
func (t Type) series() Type {
	if t.Chained() {
		return ""
	}
	return t
}

func (t Type) valid() bool {
	switch t {
	case TypeGenesis, TypePolicy, TypeActions, TypeCheckpoint, TypeChunk, TypeAck:
		return true
	}
	return false
}

// Version is the wire version that this package writes and reads.
const Version = 1

// Limits of a record, checked before anything is allocated.
const (
	// MaxHeader bounds the header line, in bytes.
	MaxHeader = 64 << 10
	// MaxBody bounds a body before compression, in bytes. Postgres sends a
	// row as one message of up to 1 GiB, and an action is never split.
	MaxBody = 1 << 30
	// maxPacked bounds a body as stored: what does not compress grows a little.
	maxPacked = MaxBody + MaxBody>>10
	// MaxRecord bounds a record, in bytes.
	MaxRecord = MaxHeader + 1<<10 + maxPacked
)

// Header is the signed line of a record. It commits to the body by hash, and
// through Prev to everything the writer signed before it.
type Header struct {
	Type   Type
	DB     action.Digest // zero only in a genesis, whose own digest is the db-id
	Writer action.Writer
	Epoch  uint32        // from 1
	Seq    uint64        // from 1, without gaps within an epoch
	Prev   action.Digest // zero only in a genesis
	// Txs is the number of lines of an actions body.
	Txs int
	// From and To are the WAL positions around the record: resuming at To
	// misses nothing that is not in the chain up to here.
	From, To action.LSN
	// System and Timeline name the Postgres cluster that wrote the WAL.
	System   uint64
	Timeline uint32
	Schema   action.Digest // of the schema the actions are written against
	// Size is the length of the body after decompression.
	Size int
	// Body is the SHA-256 of the body as it is stored (compressed).
	Body action.Digest
}

// signedPrefix separates these signatures from any other use of the key.
const signedPrefix = "pgbridge record v1\n"

// encoding is the one encoding of bodies that this version writes.
const encoding = "zstd"

// appendTo appends the canonical line, without its newline.
func (h *Header) appendTo(b []byte) []byte {
	b = append(b, `{"v":1,"type":"`...)
	b = append(b, h.Type...)
	if !h.DB.IsZero() {
		b = appendHexField(b, `","db":"`, h.DB)
	}
	b = appendHexField(b, `","writer":"`, h.Writer)
	b = append(b, `","epoch":`...)
	b = strconv.AppendUint(b, uint64(h.Epoch), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, h.Seq, 10)
	if !h.Prev.IsZero() {
		b = appendHexField(b, `,"prev":"`, h.Prev)
		b = append(b, '"')
	}
	b = append(b, `,"txs":`...)
	b = strconv.AppendInt(b, int64(h.Txs), 10)
	b = append(b, `,"from":"`...)
	b = h.From.AppendTo(b)
	b = append(b, `","to":"`...)
	b = h.To.AppendTo(b)
	b = append(b, `","system":"`...)
	b = strconv.AppendUint(b, h.System, 10)
	b = append(b, `","timeline":`...)
	b = strconv.AppendUint(b, uint64(h.Timeline), 10)
	b = appendHexField(b, `,"schema":"`, h.Schema)
	b = append(b, `","encoding":"`+encoding+`","size":`...)
	b = strconv.AppendInt(b, int64(h.Size), 10)
	b = appendHexField(b, `,"body":"`, h.Body)
	return append(b, `"}`...)
}

func appendHexField[T ~[32]byte](b []byte, name string, v T) []byte {
	const digits = "0123456789abcdef"
	b = append(b, name...)
	for _, c := range v {
		b = append(b, digits[c>>4], digits[c&15])
	}
	return b
}

// headerJSON is the shape of the line for reading; what it yields is only
// believed if writing it again gives the same bytes.
type headerJSON struct {
	Type     Type          `json:"type"`
	DB       action.Digest `json:"db"`
	Writer   action.Writer `json:"writer"`
	Epoch    uint32        `json:"epoch"`
	Seq      uint64        `json:"seq"`
	Prev     action.Digest `json:"prev"`
	Txs      int           `json:"txs"`
	From     action.LSN    `json:"from"`
	To       action.LSN    `json:"to"`
	System   string        `json:"system"`
	Timeline uint32        `json:"timeline"`
	Schema   action.Digest `json:"schema"`
	Encoding string        `json:"encoding"`
	Size     int           `json:"size"`
	Body     action.Digest `json:"body"`
}

// parseHeader reads a header line strictly: every byte as appendTo writes it.
func parseHeader(line []byte) (Header, error) {
	if err := checkVersion(line); err != nil {
		return Header{}, err
	}
	var j headerJSON
	if err := json.Unmarshal(line, &j); err != nil {
		return Header{}, fmt.Errorf("header: %.200s", err.Error()) // may quote the line
	}
	if j.Encoding != encoding {
		return Header{}, fmt.Errorf("header: encoding %.20q is not known to this pgbridge: update it", j.Encoding)
	}
	system, err := strconv.ParseUint(j.System, 10, 64)
	if err != nil {
		return Header{}, fmt.Errorf("header: system %.20q is not a number", j.System)
	}
	h := Header{
		Type: j.Type, DB: j.DB, Writer: j.Writer, Epoch: j.Epoch, Seq: j.Seq, Prev: j.Prev, Txs: j.Txs,
		From: j.From, To: j.To, System: system, Timeline: j.Timeline, Schema: j.Schema, Size: j.Size, Body: j.Body,
	}
	if err := h.check(); err != nil {
		return Header{}, err
	}
	if !bytes.Equal(h.appendTo(nil), line) {
		return Header{}, errors.New("header: not in canonical form")
	}
	return h, nil
}

// checkVersion looks at nothing but the version, so that a header of a later
// one is called that, whatever else is new in it.
func checkVersion(line []byte) error {
	rest, ok := bytes.CutPrefix(line, []byte(`{"v":`))
	if !ok {
		return errors.New("not a record: no header line")
	}
	digits, _, _ := bytes.Cut(rest, []byte(","))
	version, err := strconv.ParseUint(string(digits[:min(len(digits), 20)]), 10, 31)
	if err != nil {
		return errors.New("not a record: no wire version")
	}
	if version != Version {
		return fmt.Errorf("header: wire version %d is not known to this pgbridge (it knows %d): update it", version, Version)
	}
	return nil
}

func (h *Header) check() error {
	genesis := h.Type == TypeGenesis
	switch {
	case !h.Type.valid():
		return fmt.Errorf("header: type %.20q is not known to this pgbridge: update it", h.Type)
	case h.DB.IsZero() != genesis:
		return errors.New("header: db is for every record but the genesis")
	case h.Epoch == 0 || h.Seq == 0:
		return errors.New("header: epoch and seq count from 1")
	case h.Prev.IsZero() != genesis:
		return errors.New("header: prev is for every record but the genesis")
	case genesis && (h.Epoch != 1 || h.Seq != 1):
		return errors.New("header: a genesis is record 1 of epoch 1")
	case h.Txs < 0 || h.Size < 0 || h.Size > MaxBody || h.Txs > h.Size:
		return fmt.Errorf("header: body of %d bytes in %d lines is out of bounds", h.Size, h.Txs)
	}
	return nil
}
