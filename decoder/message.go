package decoder

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/pgbridge/pgbridge/action"
)

var errShort = errors.New("message is cut short")

// message is a cursor over one message. After the first read past the end it
// yields zeros, and err says so: callers check once.
type message struct {
	rest []byte
	err  error
}

func (m *message) take(n int) []byte {
	if n < 0 || n > len(m.rest) {
		m.err, m.rest = errShort, nil
		return nil
	}
	b := m.rest[:n:n]
	m.rest = m.rest[n:]
	return b
}

func (m *message) byte() byte {
	if len(m.rest) == 0 {
		m.err = errShort
		return 0
	}
	c := m.rest[0]
	m.rest = m.rest[1:]
	return c
}

func (m *message) uint16() uint16 {
	b := m.take(2)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

func (m *message) uint32() uint32 {
	b := m.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (m *message) uint64() uint64 {
	b := m.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (m *message) lsn() action.LSN { return action.LSN(m.uint64()) }

// postgresEpoch is 2000-01-01 in microseconds since 1970, both UTC.
const postgresEpoch = 946684800 * 1000000

func (m *message) time() int64 { return int64(m.uint64()) + postgresEpoch }

func (m *message) string() string {
	end := bytes.IndexByte(m.rest, 0)
	if end < 0 {
		m.err, m.rest = errShort, nil
		return ""
	}
	s := string(m.rest[:end])
	m.rest = m.rest[end+1:]
	return s
}

// end reports what went wrong, or that the message is longer than it should be.
func (m *message) end() error {
	if m.err == nil && len(m.rest) > 0 {
		return errors.New("bytes follow the end of the message")
	}
	return m.err
}
