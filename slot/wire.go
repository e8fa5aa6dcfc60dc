package slot

import (
	"encoding/binary"
	"fmt"
	"net"
)

// wire is the server's end of a replication connection, cut into protocol
// messages. Until the stream starts it hands pgconn one message per Read, so
// that pgconn's buffer never holds bytes of the stream; then frame yields the
// messages in place.
type wire struct {
	net.Conn
	buf  []byte
	r, w int
	left int // of the message that Read is in the middle of
}

const (
	wireBuffer = 256 << 10
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
		if err := c.fill(size); err != nil {
			return 0, err
		}
	}
	if c.r == c.w {
		if err := c.fill(0); err != nil {
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

// fill reads what the connection has. size is that of the message at c.r, or 0.
func (c *wire) fill(size int) error {
	c.room(size)
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// room moves what is unread to the front of a buffer with room behind it. The
// buffer doubles until a large message fits, so memory follows the bytes that
// came and not the length that was announced, and is given back after it.
func (c *wire) room(size int) {
	unread, buf := c.buf[c.r:c.w], c.buf
	switch {
	case len(unread) == len(buf):
		buf = make([]byte, min(2*len(buf), size))
	case len(buf) > 4*wireBuffer && size <= wireBuffer && len(unread) < wireBuffer:
		buf = make([]byte, wireBuffer)
	}
	c.r, c.w = 0, copy(buf, unread)
	c.buf = buf
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
		if err := c.fill(size); err != nil {
			return 0, nil, err
		}
	}
}
