package slot

import (
	"bufio"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// gather is a TCP connection that is read in large pieces while it is busy.
// The walsender sends every message by itself, and to be woken for each costs
// more than decoding it, at both ends. So the kernel is asked (SO_RCVLOWAT) to
// wake the reader only when lowWater bytes are there, or after gatherTime. A
// connection that is not busy is read as bytes come.
type gather struct {
	net.Conn
	raw      syscall.RawConn // nil: never gathers
	deadline time.Time       // of the stream; that of Conn is earlier while high
	high     bool            // the kernel waits for lowWater bytes

	busy  bool
	since time.Time // when bytes began to count
	bytes int
}

const (
	lowWater   = 64 << 10
	gatherTime = 10 * time.Millisecond
	// busyBytes in gatherTime make a connection busy: a lone transaction, if
	// it is not large, is read at once.
	busyBytes = 16 << 10
)

// stream begins to gather, where that can be done: TCP on Linux. Before it the
// deadlines are pgconn's.
func (g *gather) stream() {
	tcp, ok := g.Conn.(*net.TCPConn)
	if !ok || !canGather {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		g.raw = raw
	}
}

// until sets the deadline of reads.
func (g *gather) until(deadline time.Time) error {
	g.deadline = deadline
	if g.high {
		return nil
	}
	return g.Conn.SetReadDeadline(deadline)
}

func (g *gather) Read(p []byte) (int, error) {
	if g.raw == nil {
		return g.Conn.Read(p)
	}
	n, err := g.read(p)
	g.count(n)
	return n, err
}

func (g *gather) read(p []byte) (int, error) {
	if g.busy {
		if err := g.raise(); err != nil {
			return 0, err
		}
		n, err := g.Conn.Read(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
	if err := g.lower(); err != nil {
		return 0, err
	}
	return g.Conn.Read(p)
}

// count finds out whether the connection is busy.
func (g *gather) count(n int) {
	g.bytes += n
	now := time.Now()
	if g.bytes < busyBytes && now.Sub(g.since) < gatherTime {
		return
	}
	g.busy = g.bytes >= busyBytes
	g.since, g.bytes = now, 0
}

// raise makes the next read wait for much, but not for long.
func (g *gather) raise() error {
	if !g.high {
		if err := setLowWater(g.raw, lowWater); err != nil {
			return err
		}
		g.high = true
	}
	soon := time.Now().Add(gatherTime)
	if !g.deadline.IsZero() && g.deadline.Before(soon) {
		soon = g.deadline
	}
	return g.Conn.SetReadDeadline(soon)
}

// lower makes reads wait for one byte again, until the stream's deadline.
func (g *gather) lower() error {
	if !g.high {
		return nil
	}
	if err := setLowWater(g.raw, 1); err != nil {
		return err
	}
	g.high = false
	return g.Conn.SetReadDeadline(g.deadline)
}

// gathered is a gather below TLS, which reads a record at a time.
type gathered struct {
	*gather
	in *bufio.Reader
}

func newGathered(conn net.Conn) gathered {
	g := &gather{Conn: conn}
	return gathered{gather: g, in: bufio.NewReaderSize(g, lowWater)}
}

func (g gathered) Read(p []byte) (int, error) { return g.in.Read(p) }
