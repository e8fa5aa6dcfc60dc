package slot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// loopback is a TCP connection to ourselves: the server's end, and the
// client's, which gathers.
func loopback(t *testing.T) (net.Conn, gathered) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	g := newGathered(client)
	g.stream()
	return server, g
}

// Whatever the sizes of the pieces and the deadlines between them: what was
// written is read.
func TestGatherLosesNothing(t *testing.T) {
	server, g := loopback(t)
	rng := rand.New(rand.NewPCG(1, 1))
	sent := make([]byte, 4<<20)
	for i := range sent {
		sent[i] = byte(rng.Uint32())
	}
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 1+rand.IntN(300))
			server.Write(rest[:n])
			rest = rest[n:]
		}
		server.Close()
	}()
	var got []byte
	buf := make([]byte, 100<<10)
	busy := false
	for {
		if err := g.until(time.Now().Add(rand.N(3 * time.Millisecond))); err != nil {
			t.Fatal(err)
		}
		n, err := g.Read(buf[:1+rand.IntN(len(buf))])
		got = append(got, buf[:n]...)
		busy = busy || g.high
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, ErrDeadline) {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, sent) {
		t.Errorf("%d bytes read, want the %d that were sent", len(got), len(sent))
	}
	if busy != canGather {
		t.Errorf("gathered: got %v, want %v", busy, canGather)
	}
}

// What comes alone is read as it comes, also after a busy time.
func TestGatherLeavesTheQuietAlone(t *testing.T) {
	tests := []struct {
		name string
		busy bool
	}{{"quiet", false}, {"after a busy time", true}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server, g := loopback(t)
			g.busy = test.busy
			buf := make([]byte, 1000)
			for i := range 100 {
				if _, err := server.Write([]byte("lone")); err != nil {
					t.Fatal(err)
				}
				if err := g.until(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				n, err := g.Read(buf)
				if err != nil || string(buf[:n]) != "lone" {
					t.Fatalf("message %d: got %q, %v", i, buf[:n], err)
				}
			}
			if g.busy || g.high {
				t.Error("still gathers after 400 bytes")
			}
		})
	}
}

func TestGatherMeetsDeadlines(t *testing.T) {
	server, g := loopback(t)
	g.busy = true
	for _, deadline := range []time.Time{time.Unix(1, 0), time.Now().Add(time.Millisecond), time.Now().Add(3 * gatherTime)} {
		g.busy = true
		if err := g.until(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Read(make([]byte, 10)); !errors.Is(err, ErrDeadline) {
			t.Fatalf("got %v, want that the deadline passed", err)
		}
		if time.Now().Before(deadline) {
			t.Errorf("%v before the deadline", time.Until(deadline))
		}
	}
	// What comes when the reader waits again wakes it, and not before.
	if err := g.until(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(3*gatherTime, func() { server.Write([]byte("late")) })
	buf := make([]byte, 10)
	if n, err := g.Read(buf); err != nil || string(buf[:n]) != "late" {
		t.Errorf("after it: got %q, %v", buf[:n], err)
	}
	// What is there is not read when the deadline has passed.
	if _, err := server.Write([]byte("later")); err != nil {
		t.Fatal(err)
	}
	g.busy = true
	if err := g.until(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := g.Read(buf); !errors.Is(err, ErrDeadline) {
		t.Errorf("got %q, %v, want that the deadline passed", buf[:n], err)
	}
}

func TestGatherEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(server net.Conn, g gathered) error
		want error
	}{
		{"closed here", func(_ net.Conn, g gathered) error { return g.Close() }, net.ErrClosed},
		{"closed there", func(server net.Conn, _ gathered) error { return server.Close() }, io.EOF},
	}
	for _, test := range tests {
		for _, busy := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				server, g := loopback(t)
				g.busy = busy
				ended := make(chan error)
				go func() {
					_, err := g.Read(make([]byte, 10))
					ended <- err
				}()
				if err := test.end(server, g); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; !errors.Is(err, test.want) {
					t.Errorf("busy %v: got %v, want %v", busy, err, test.want)
				}
			})
		}
	}
}
