package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

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
	h.Size = len(body)
	return seal(key, h, compress(make([]byte, 0, len(body)/4+512), body))
}

// seal signs a record whose body is compressed already. It is deterministic.
func seal(key Key, h Header, packed []byte) (Record, error) {
	if key.private == nil {
		return Record{}, fmt.Errorf("seal record %d: no writer key", h.Seq)
	}
	h.Writer, h.Body = key.Writer(), sha256.Sum256(packed)
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
	if err := verifyEd25519(h.Writer[:], append([]byte(signedPrefix), line...), signature); err != nil {
		return Record{}, fmt.Errorf("record %d of writer %s: %w", h.Seq, h.Writer, err)
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
	if signature, err = decodeBase64(string(rest[:sigLen])); err != nil {
		return nil, nil, nil, errors.New("not a record: the signature line is not base64url")
	}
	body = rest[sigLen+1:]
	if len(body) > maxPacked {
		return nil, nil, nil, fmt.Errorf("not a record: body of %d bytes is over the limit of %d", len(body), maxPacked)
	}
	return line, signature, body, nil
}
