package archive

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	// MaxBody bounds a body before and after decompression, in bytes. Postgres
	// sends a row as one message of up to 1 GiB, and an action is never split.
	MaxBody = 1 << 30
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
	V        int           `json:"v"`
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
	var j headerJSON
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&j); err != nil {
		return Header{}, fmt.Errorf("header: %w", err)
	}
	if j.V != Version {
		return Header{}, fmt.Errorf("header: wire version %d is not known to this pgbridge (it knows 1): update it", j.V)
	}
	system, err := strconv.ParseUint(j.System, 10, 64)
	if err != nil {
		return Header{}, fmt.Errorf("header: system: %w", err)
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

func (h *Header) check() error {
	genesis := h.Type == TypeGenesis
	switch {
	case !h.Type.valid():
		return fmt.Errorf("header: type %q is not known to this pgbridge: update it", h.Type)
	case h.DB.IsZero() != genesis:
		return errors.New("header: db is for every record but the genesis")
	case h.Epoch == 0 || h.Seq == 0:
		return errors.New("header: epoch and seq count from 1")
	case h.Prev.IsZero() != genesis:
		return errors.New("header: prev is for every record but the genesis")
	case genesis && (h.Epoch != 1 || h.Seq != 1):
		return errors.New("header: a genesis is record 1 of epoch 1")
	case h.Txs < 0 || h.Size < 0 || h.Size > MaxBody:
		return fmt.Errorf("header: body of %d bytes in %d lines is out of bounds", h.Size, h.Txs)
	}
	return nil
}

// Record is a record whose signature has been checked, or that was just signed.
type Record struct {
	Header Header
	Digest action.Digest // SHA-256 of the header line
	Bytes  []byte        // the record as stored: header line, signature line, body
	body   []byte        // stored form of the body, within Bytes
}

// Seal compresses body and signs the record. It fills h.Writer, h.Size and
// h.Body. Sealing the same header and body again gives the same bytes for one
// version of the compressor only: seal once, keep the bytes.
func Seal(key Key, h Header, body []byte) (Record, error) {
	if len(body) > MaxBody {
		return Record{}, fmt.Errorf("seal record %d: body of %d bytes is over the limit of %d", h.Seq, len(body), MaxBody)
	}
	packed := compress(make([]byte, 0, len(body)/4+512), body)
	h.Writer, h.Size, h.Body = key.Writer(), len(body), sha256.Sum256(packed)
	if err := h.check(); err != nil {
		return Record{}, fmt.Errorf("seal record %d: %w", h.Seq, err)
	}
	line := h.appendTo(make([]byte, 0, 1024))
	signature := key.sign(append([]byte(signedPrefix), line...))

	out := make([]byte, 0, len(line)+len(packed)+100)
	out = append(out, line...)
	out = append(out, '\n')
	out = base64.RawURLEncoding.AppendEncode(out, signature)
	out = append(out, '\n')
	bodyAt := len(out)
	out = append(out, packed...)
	return Record{Header: h, Digest: sha256.Sum256(line), Bytes: out, body: out[bodyAt:]}, nil
}

// Open checks a record that came from outside: form, signature, body hash.
// Nothing is decompressed. Whether the writer may write to the database, and
// whether the record is the next of its chain, is the caller's to judge; to
// drop strangers before any cryptography, PeekHeader first. raw is kept, not
// copied.
func Open(raw []byte) (Record, error) {
	line, signature, body, err := split(raw)
	if err != nil {
		return Record{}, err
	}
	h, err := parseHeader(line)
	if err != nil {
		return Record{}, err
	}
	if !ed25519.Verify(h.Writer[:], append([]byte(signedPrefix), line...), signature) {
		return Record{}, fmt.Errorf("record %d: the signature is not that of writer %s", h.Seq, h.Writer)
	}
	if sha256.Sum256(body) != h.Body {
		return Record{}, fmt.Errorf("record %d: the body is not the one that was signed (truncated or changed)", h.Seq)
	}
	return Record{Header: h, Digest: sha256.Sum256(line), Bytes: raw, body: body}, nil
}

// PeekHeader reads the header without checking anything but its form.
func PeekHeader(raw []byte) (Header, error) {
	line, _, _, err := split(raw)
	if err != nil {
		return Header{}, err
	}
	return parseHeader(line)
}

// DB is the database the record belongs to: for a genesis its own digest.
func (r *Record) DB() action.Digest {
	if r.Header.Type == TypeGenesis {
		return r.Digest
	}
	return r.Header.DB
}

// Body decompresses the body, appending it to dst.
func (r *Record) Body(dst []byte) ([]byte, error) {
	out, err := decompress(dst, r.body, r.Header.Size)
	if err != nil {
		return nil, fmt.Errorf("record %d: body: %w", r.Header.Seq, err)
	}
	return out, nil
}

func split(raw []byte) (line, signature, body []byte, err error) {
	end := bytes.IndexByte(raw[:min(len(raw), MaxHeader)], '\n')
	if end < 0 {
		return nil, nil, nil, errors.New("not a record: no header line")
	}
	line, rest := raw[:end], raw[end+1:]
	const sigLen = 86 // base64url of 64 bytes
	if len(rest) < sigLen+1 || rest[sigLen] != '\n' {
		return nil, nil, nil, errors.New("not a record: no signature line")
	}
	signature, err = base64.RawURLEncoding.Strict().DecodeString(string(rest[:sigLen]))
	if err != nil || strings.ContainsAny(string(rest[:sigLen]), "\r\n") {
		return nil, nil, nil, errors.New("not a record: the signature line is not base64url")
	}
	body = rest[sigLen+1:]
	if len(body) > MaxBody {
		return nil, nil, nil, fmt.Errorf("not a record: body of %d bytes is over the limit of %d", len(body), MaxBody)
	}
	return line, signature, body, nil
}
