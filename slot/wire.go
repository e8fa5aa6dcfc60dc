package slot

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// wire is the server's end of a replication connection. Until stream is set it
// hands pgconn one protocol message per Read, so that pgconn's buffer never
// holds bytes of the stream; then frame yields the messages in place.
//
// The walsender sends every message by itself. Reading them one by one costs
// more than decoding them, so wire reads as much as there is, and when the
// stream is busy lets bytes gather first.
type wire struct {
	net.Conn
	buf      []byte
	r, w     int
	left     int // of the message that Read is in the middle of
	lastRead time.Time
}

const (
	wireBuffer = 256 << 10
	// gather is how long bytes of a busy stream may collect before a read.
	gather = time.Millisecond
	// maxFrame is the protocol's own limit of a message.
	maxFrame = 1 << 30
)

func newWire(conn net.Conn) *wire { return &wire{Conn: conn, buf: make([]byte, wireBuffer)} }

// Read serves pgconn during the start-up of the connection. The one byte that
// answers a request for TLS does not come here: that is settled before.
func (c *wire) Read(p []byte) (int, error) {
	for c.left == 0 {
		size, ok, err := c.frameSize()
		if err != nil {
			return 0, err
		}
		if ok {
			c.left = size
			break
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	if c.r == c.w {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.buf[c.r:min(c.w, c.r+c.left)])
	c.r += n
	c.left -= n
	return n, nil
}

// frameSize is the size of the message at c.r, with its header.
func (c *wire) frameSize() (size int, ok bool, err error) {
	if c.w-c.r < 5 {
		return 0, false, nil
	}
	n := int(binary.BigEndian.Uint32(c.buf[c.r+1:]))
	if n < 4 || n > maxFrame {
		return 0, false, fmt.Errorf("protocol message of %d bytes", n)
	}
	return n + 1, true, nil
}

// fill reads what the connection has, moving what is unread to the front.
func (c *wire) fill() error {
	if c.r > 0 {
		copy(c.buf, c.buf[c.r:c.w])
		c.w -= c.r
		c.r = 0
	}
	if c.w == len(c.buf) {
		c.grow()
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// grow makes room for a message larger than the buffer.
func (c *wire) grow() {
	bigger := make([]byte, 2*len(c.buf))
	copy(bigger, c.buf[:c.w])
	c.buf = bigger
}

// shrink gives back the room of a large message once it is empty.
func (c *wire) shrink() {
	if len(c.buf) > 4*wireBuffer && c.r == c.w {
		c.buf, c.r, c.w = make([]byte, wireBuffer), 0, 0
	}
}

// buffered tells whether a whole message can be had without reading.
func (c *wire) buffered() bool {
	size, ok, err := c.frameSize()
	return err != nil || ok && c.w-c.r >= size
}

// frame returns the next message of the stream; body is valid until the next
// call. A read deadline that passes leaves everything as it was.
func (c *wire) frame() (kind byte, body []byte, err error) {
	for {
		size, ok, err := c.frameSize()
		if err != nil {
			return 0, nil, err
		}
		if ok && c.w-c.r >= size {
			kind, body = c.buf[c.r], c.buf[c.r+5:c.r+size]
			c.r += size
			return kind, body, nil
		}
		c.shrink()
		c.settle()
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// settle waits a moment before the read when the stream is busy: when the one
// before came less than a moment ago and did not fill half of the buffer.
func (c *wire) settle() {
	now := time.Now()
	if now.Sub(c.lastRead) < 2*gather && c.w-c.r < wireBuffer/2 {
		time.Sleep(gather)
		now = now.Add(gather)
	}
	c.lastRead = now
}
