package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Tag is a name and a value that gateways index an item by.
type Tag struct{ Name, Value string }

// The limits of ANS-104 and of every bundler on the tags of one item.
const (
	maxTags     = 128
	maxTagBytes = 4096 // of all tags together, encoded
	maxTagName  = 1024
	maxTagValue = 3072
)

func (t Tag) check() error {
	switch {
	case len(t.Name) == 0 || len(t.Name) > maxTagName:
		return fmt.Errorf("a name of %d bytes, 1 to %d are allowed", len(t.Name), maxTagName)
	case len(t.Value) == 0 || len(t.Value) > maxTagValue:
		return fmt.Errorf("a value of %d bytes, 1 to %d are allowed", len(t.Value), maxTagValue)
	case !utf8.ValidString(t.Name) || !utf8.ValidString(t.Value):
		return errors.New("not UTF-8")
	}
	return nil
}

// appendTags appends the one encoding of tags that this package writes and
// reads: an Avro array in one block, or nothing at all when there are none.
func appendTags(dst []byte, tags []Tag) ([]byte, error) {
	if len(tags) == 0 {
		return dst, nil
	}
	if len(tags) > maxTags {
		return nil, fmt.Errorf("%d tags, at most %d are allowed", len(tags), maxTags)
	}
	before := len(dst)
	dst = binary.AppendVarint(dst, int64(len(tags)))
	for n, tag := range tags {
		if err := tag.check(); err != nil {
			return nil, fmt.Errorf("tag %d: %w", n+1, err)
		}
		dst = appendTagString(dst, tag.Name)
		dst = appendTagString(dst, tag.Value)
	}
	dst = append(dst, 0)
	if size := len(dst) - before; size > maxTagBytes {
		return nil, fmt.Errorf("%d bytes of tags, at most %d are allowed", size, maxTagBytes)
	}
	return dst, nil
}

func appendTagString(dst []byte, s string) []byte {
	dst = binary.AppendVarint(dst, int64(len(s)))
	return append(dst, s...)
}

// tagSize is the number of bytes that one more tag takes.
func tagSize(t Tag) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], int64(len(t.Name))) + len(t.Name) +
		binary.PutVarint(b[:], int64(len(t.Value))) + len(t.Value)
}

// parseTags reads what appendTags writes and nothing else: exactly count tags
// in exactly the bytes of b, whose length the caller has bounded. Names may
// repeat: the standard leaves that to the application.
func parseTags(b []byte, count int) ([]Tag, error) {
	if count == 0 {
		if len(b) != 0 {
			return nil, fmt.Errorf("no tags, but %d bytes of them", len(b))
		}
		return nil, nil
	}
	got, b, err := cutTagLong(b)
	if err != nil {
		return nil, err
	}
	if got != count {
		return nil, fmt.Errorf("a block of %d where %d are announced", got, count)
	}
	tags := make([]Tag, count)
	for n := range tags {
		t := &tags[n]
		if t.Name, b, err = cutTagString(b); err != nil {
			return nil, fmt.Errorf("tag %d: name: %w", n+1, err)
		}
		if t.Value, b, err = cutTagString(b); err != nil {
			return nil, fmt.Errorf("tag %d: value: %w", n+1, err)
		}
		if err := t.check(); err != nil {
			return nil, fmt.Errorf("tag %d: %w", n+1, err)
		}
	}
	if len(b) != 1 || b[0] != 0 {
		return nil, fmt.Errorf("%d bytes after the last tag where one zero ends the list", len(b))
	}
	return tags, nil
}

func cutTagString(b []byte) (s string, rest []byte, err error) {
	size, b, err := cutTagLong(b)
	if err != nil {
		return "", nil, err
	}
	if size > len(b) {
		return "", nil, fmt.Errorf("%d bytes announced, %d left", size, len(b))
	}
	return string(b[:size]), b[size:], nil
}

// cutTagLong reads an Avro long (a zig-zag varint) that is not negative and is
// written in the fewest bytes.
func cutTagLong(b []byte) (v int, rest []byte, err error) {
	u, n := binary.Uvarint(b)
	switch {
	case n <= 0:
		return 0, nil, errors.New("a number is cut short or too long")
	case n > 1 && b[n-1] == 0:
		return 0, nil, errors.New("a number is not in its shortest form")
	case u&1 != 0:
		return 0, nil, errors.New("a number is negative")
	case u>>1 > maxTagBytes:
		return 0, nil, fmt.Errorf("a number of %d, at most %d is allowed", u>>1, maxTagBytes)
	}
	return int(u >> 1), b[n:], nil
}
