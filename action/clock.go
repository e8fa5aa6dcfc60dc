package action

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Clock is a hybrid logical clock: the commit time in microseconds since 1970
// UTC, and a counter that orders what shares a microsecond or was committed by
// a clock that went backwards. Every transaction of a writer has a later Clock
// than the one before.
type Clock struct {
	Micros  int64
	Counter uint32
}

// Next returns the clock of a transaction committed at micros by a writer
// whose last clock was c: later than c, and at least micros.
func (c Clock) Next(micros int64) Clock {
	if micros > c.Micros {
		return Clock{Micros: micros}
	}
	return Clock{Micros: c.Micros, Counter: c.Counter + 1}
}

// Before tells whether c is earlier than d.
func (c Clock) Before(d Clock) bool {
	return c.Micros < d.Micros || c.Micros == d.Micros && c.Counter < d.Counter
}

// AppendTo appends the written form, micros.counter in decimal, to b.
func (c Clock) AppendTo(b []byte) []byte {
	b = strconv.AppendInt(b, c.Micros, 10)
	b = append(b, '.')
	return strconv.AppendUint(b, uint64(c.Counter), 10)
}

func (c Clock) String() string { return string(c.AppendTo(nil)) }

// MarshalText makes the String form the JSON form.
func (c Clock) MarshalText() ([]byte, error) { return c.AppendTo(nil), nil }

// UnmarshalText reads the String form.
func (c *Clock) UnmarshalText(b []byte) (err error) {
	*c, err = ParseClock(string(b))
	return err
}

// ParseClock reads the written form.
func ParseClock(s string) (Clock, error) {
	micros, counter, _ := strings.Cut(s, ".")
	m, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return Clock{}, fmt.Errorf("parse clock %q: %w", s, err)
	}
	n, err := strconv.ParseUint(counter, 10, 32)
	if err != nil {
		return Clock{}, fmt.Errorf("parse clock %q: %w", s, err)
	}
	return Clock{Micros: m, Counter: uint32(n)}, nil
}

// timeLayout is the one written form of a moment: RFC 3339, UTC, always six
// digits of a second.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is the wall-clock part of the clock.
func (c Clock) Time() time.Time { return time.UnixMicro(c.Micros).UTC() }
