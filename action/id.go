package action

import (
	"encoding/hex"
	"fmt"
)

// Digest is a SHA-256. The digest of a record is that of its header line; the
// digest of the genesis record is the db-id. The zero Digest means "none".
type Digest [32]byte

// Writer is an ed25519 public key: the one identity that signs records.
type Writer [32]byte

// ParseDigest reads the 64 lower-case hexadecimal digits of a digest or a db-id.
func ParseDigest(s string) (Digest, error) {
	d, err := parse32(s)
	return Digest(d), err
}

// ParseWriter reads the 64 lower-case hexadecimal digits of a writer.
func ParseWriter(s string) (Writer, error) {
	w, err := parse32(s)
	return Writer(w), err
}

func parse32(s string) (v [32]byte, err error) {
	if len(s) != 64 {
		return v, fmt.Errorf("%d characters where 64 hexadecimal digits are expected", len(s))
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return v, fmt.Errorf("character %d is not a lower-case hexadecimal digit", i+1)
		}
	}
	_, err = hex.Decode(v[:], []byte(s))
	return v, err
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// IsZero tells whether there is no digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText makes the String form the JSON form.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads the String form.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

func (w Writer) String() string { return hex.EncodeToString(w[:]) }

// MarshalText makes the String form the JSON form.
func (w Writer) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, w[:]), nil }

// UnmarshalText reads the String form.
func (w *Writer) UnmarshalText(b []byte) (err error) {
	*w, err = ParseWriter(string(b))
	return err
}
