package slot

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

// streamOf is a stream of what is written to the other end.
func streamOf(t *testing.T) (*Stream, net.Conn) {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() {
		server.Close()
		client.Close()
	})
	return &Stream{conn: &Conn{wire: newWire(client), gather: &gather{Conn: client}}, wake: make(chan struct{}, 1)}, server
}

func wal(data string) []byte { return frame('d', "w"+strings.Repeat("\x00", 24)+data) }

func keepalive(end uint64, reply byte) []byte {
	b := binary.BigEndian.AppendUint64([]byte("k"), end)
	return frame('d', string(append(b, 0, 0, 0, 0, 0, 0, 0, 0, reply)))
}

func TestNext(t *testing.T) {
	s, server := streamOf(t)
	go server.Write(concat(wal("one"), keepalive(0x16B3748, 0), wal(""), keepalive(7, 1)))
	for i, want := range []Message{{Data: []byte("one")}, {End: 0x16B3748}, {Data: []byte{}}, {End: 7}} {
		got, err := s.Next(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Data) != string(want.Data) || (got.Data == nil) != (want.Data == nil) || got.End != want.End {
			t.Errorf("message %d: got %+v, want %+v", i, got, want)
		}
		if asked := len(s.wake) == 1; asked != (i == 3) {
			t.Errorf("message %d: a reply is due: %v", i, asked)
		}
	}
}

func TestNextRefuses(t *testing.T) {
	tests := []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"an error of the server", frame('E', "SFATAL\x00VFATAL\x00C57P01\x00Mbye\x00\x00"), "FATAL: bye (SQLSTATE 57P01)"},
		{"an error without its end", frame('E', "SFATAL"), "read stream: "},
		{"the end of the copy", frame('c', ""), "the server ended it (message 'c')"},
		{"the end of the command", frame('C', "COPY 0\x00"), "the server ended it (message 'C')"},
		{"empty copy data", frame('d', ""), "copy data of 0 bytes"},
		{"WAL without its head", frame('d', "w"+strings.Repeat("\x00", 23)), "copy data of 24 bytes"},
		{"a short keepalive", frame('d', "k"+strings.Repeat("\x00", 16)), "copy data of 17 bytes"},
		{"a long keepalive", frame('d', "k"+strings.Repeat("\x00", 18)), "copy data of 19 bytes"},
		{"copy data of another kind", frame('d', "s"+strings.Repeat("\x00", 33)), "copy data of 34 bytes"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, server := streamOf(t)
			go server.Write(test.bytes)
			if _, err := s.Next(time.Time{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A deadline that passed earlier is not that of a later call, even when that
// call finds something to skip before it has to wait.
func TestNextHasItsOwnDeadline(t *testing.T) {
	s, server := streamOf(t)
	notice := frame('N', "SNOTICE\x00\x00")
	go server.Write(concat(wal("one"), notice, notice))
	past := time.Unix(1, 0)
	if _, err := s.Next(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.gather.until(past); err != nil {
		t.Fatal(err)
	}
	go server.Write(wal("two"))
	if got, err := s.Next(time.Time{}); err != nil || string(got.Data) != "two" {
		t.Errorf("got %q, %v, want two", got.Data, err)
	}
	if _, err := s.Next(past); !errors.Is(err, ErrDeadline) {
		t.Errorf("got %v, want that the deadline passed", err)
	}
}

func TestAckNeverGoesBack(t *testing.T) {
	s, _ := streamOf(t)
	for _, lsn := range []action.LSN{5, 9, 3} {
		s.Ack(lsn)
	}
	if got := s.acked.Load(); got != 9 {
		t.Errorf("got %d, want 9", got)
	}
}

func concat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
