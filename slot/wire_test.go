package slot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// frame writes a protocol message.
func frame(kind byte, body string) []byte {
	b := append([]byte{kind}, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[1:], uint32(4+len(body)))
	return append(b, body...)
}

// send writes pieces, each in a write of its own, and then closes the pipe if
// it is to end.
func send(t *testing.T, pieces ...[]byte) net.Conn {
	t.Helper()
	server, client := net.Pipe()
	done := make(chan struct{})
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	go func() {
		defer close(done)
		defer server.Close()
		for _, p := range pieces {
			if _, err := server.Write(p); err != nil {
				return
			}
		}
	}()
	return client
}

// frames reads messages until the end and writes kind and body of each.
func frames(t *testing.T, c *wire) string {
	t.Helper()
	var b strings.Builder
	for {
		kind, body, err := c.frame()
		if errors.Is(err, io.EOF) {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%c%s ", kind, body)
	}
}

func TestFramesInPieces(t *testing.T) {
	all := bytes.Join([][]byte{frame('d', "one"), frame('N', ""), frame('d', "three"), frame('C', "4")}, nil)
	const want = "done N dthree C4 "
	t.Run("at once", func(t *testing.T) {
		if got := frames(t, newWire(send(t, all))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		var pieces [][]byte
		for i := range all {
			pieces = append(pieces, all[i:i+1])
		}
		if got := frames(t, newWire(send(t, pieces...))); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	for cut := 1; cut < len(all); cut++ {
		t.Run(fmt.Sprintf("cut at %d", cut), func(t *testing.T) {
			if got := frames(t, newWire(send(t, all[:cut], all[cut:]))); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestBuffered(t *testing.T) {
	one := frame('d', "one")
	c := newWire(send(t, append(bytes.Clone(one), one...), one[:4], one[4:]))
	for i, want := range []bool{true, false, false} {
		if _, _, err := c.frame(); err != nil {
			t.Fatal(err)
		}
		if got := c.buffered(); got != want {
			t.Errorf("buffered after message %d: got %v, want %v", i+1, got, want)
		}
	}
}

// A deadline may pass after any byte: the message is whole when the rest comes.
func TestDeadlineInAFrame(t *testing.T) {
	all := append(frame('d', "one"), frame('d', "two")...)
	for cut := range all {
		t.Run(fmt.Sprintf("cut at %d", cut), func(t *testing.T) {
			server, client := net.Pipe()
			defer server.Close()
			defer client.Close()
			c, got := newWire(client), ""
			read := func() error {
				for {
					_, body, err := c.frame()
					if err != nil {
						return err
					}
					got += string(body) + " "
				}
			}
			passed, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				server.Write(all[:cut])
				client.SetReadDeadline(time.Unix(1, 0)) // now, for a read that waits too
				<-passed
				client.SetReadDeadline(time.Time{})
				server.Write(all[cut:])
				server.Close()
			}()
			err := read()
			close(passed)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("got %v, want that the deadline passed", err)
			}
			for errors.Is(err, os.ErrDeadlineExceeded) { // until the writer lifts it
				err = read()
			}
			<-done
			if !errors.Is(err, io.EOF) || got != "one two " {
				t.Errorf("got %q and %v, want both messages and the end", got, err)
			}
		})
	}
}

func TestFrameRefuses(t *testing.T) {
	tests := []struct {
		name   string
		length uint32
	}{
		{"shorter than its length", 3}, {"nothing", 0}, {"over the limit", maxFrame + 1}, {"negative", 0xffffffff},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			header := binary.BigEndian.AppendUint32([]byte{'d'}, test.length)
			c := newWire(send(t, header))
			_, _, err := c.frame()
			if want := fmt.Sprintf("protocol message of %d bytes", test.length); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if !c.buffered() {
				t.Error("not buffered: Next would wait before it reports the error")
			}
			if _, err := newWire(send(t, header)).Read(make([]byte, 10)); err == nil {
				t.Error("Read: taken, want an error")
			}
		})
	}
}

// Memory follows the bytes that came, and goes back when they are gone.
func TestBufferGrowsAndShrinks(t *testing.T) {
	large := frame('d', strings.Repeat("x", 10*wireBuffer))
	small := frame('d', "small")
	c := newWire(send(t, large[:100], large[100:], append(bytes.Clone(small), small...), large, small[:7], small[7:]))
	sizes := []int{len(large), len(small), len(small), len(large), len(small)}
	limits := []int{len(large), wireBuffer, wireBuffer, len(large), wireBuffer}
	for i, want := range sizes {
		_, body, err := c.frame()
		if err != nil {
			t.Fatal(err)
		}
		if len(body)+5 != want {
			t.Errorf("message %d has %d bytes, want %d", i, len(body)+5, want)
		}
		if len(c.buf) > limits[i] {
			t.Errorf("buffer at message %d has %d bytes, want at most %d", i, len(c.buf), limits[i])
		}
	}
	announced := newWire(send(t, binary.BigEndian.AppendUint32([]byte{'d'}, maxFrame)))
	if _, _, err := announced.frame(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	if len(announced.buf) > wireBuffer {
		t.Errorf("buffer for a message that never came has %d bytes, want %d", len(announced.buf), wireBuffer)
	}
}

// pgconn is handed one message at a time, however they arrive, so that what
// follows is left to frame.
func TestReadGivesOneMessage(t *testing.T) {
	start := [][]byte{frame('R', "auth"), frame('Z', "I"), frame('W', strings.Repeat("w", wireBuffer))}
	stream := frame('d', "first")
	all := append(bytes.Join(start, nil), stream...)
	for _, pieces := range [][][]byte{{all}, {all[:3], all[3:12], all[12:]}, {all[:len(all)-3], all[len(all)-3:]}} {
		c := newWire(send(t, pieces...))
		buf := make([]byte, 8192) // as pgconn's
		for _, want := range start {
			var got []byte
			for len(got) < len(want) {
				n, err := c.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, buf[:n]...)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("read %d bytes beginning with %q, want the %d of one message", len(got), got[:5], len(want))
			}
		}
		if got := frames(t, c); got != "dfirst " {
			t.Errorf("after it: got %q, want the first message of the stream", got)
		}
	}
}
