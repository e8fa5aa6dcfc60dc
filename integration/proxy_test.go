package integration

import (
	"bufio"
	endian "encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// proxy stands between a pgbridge and its database and reads along, so that a
// test can choose the message at which the bridge dies.
type proxy struct {
	listener net.Listener
	server   string
	url      string // of the database, by way of the proxy

	mu    sync.Mutex
	trap  *trap
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

// sent is one message of a client that makes the server do something.
type sent struct {
	sql    string // what Query or Execute runs
	copied []byte // or the data of a COPY
	flush  uint64 // or a standby status with a flush position higher than ever on this connection
}

// trap waits for the nth message that match knows.
type trap struct {
	match func(sent) bool
	nth   int
	// after: the server gets the message and its answer is kept back. Else the
	// message is kept back.
	after bool
	hit   chan struct{} // closed when it was sprung: nothing goes on until the client is dead
}

func newTrap(nth int, when moment, match func(sent) bool) *trap {
	return &trap{match: match, nth: nth, after: when == after, hit: make(chan struct{})}
}

// moment is when a message is caught.
type moment string

const (
	before moment = "before"
	after  moment = "after"
)

// runs matches what runs a statement that holds text.
func runs(text string) func(sent) bool {
	return func(m sent) bool { return strings.Contains(m.sql, text) }
}

// is matches what runs exactly this statement.
func is(text string) func(sent) bool {
	return func(m sent) bool { return strings.EqualFold(m.sql, text) }
}

func anyStatement(m sent) bool { return m.sql != "" }
func copies(m sent) bool       { return m.copied != nil }
func acknowledges(m sent) bool { return m.flush > 0 }

// newProxy starts a proxy in front of db that stops with the test.
func newProxy(t testing.TB, db *pgtest.DB) *proxy {
	t.Helper()
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: u.Host, conns: map[net.Conn]bool{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	p.url = u.String()
	p.wait.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

func (p *proxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wait.Wait()
}

// set arms a trap in place of the one before.
func (p *proxy) set(t *trap) *trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
	return t
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.keep(client)
		p.wait.Go(func() { p.serve(client) })
	}
}

func (p *proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

func (p *proxy) serve(client net.Conn) {
	defer p.drop(client)
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return // the server is down: the client sees it
	}
	p.keep(server)
	defer p.drop(server)
	w := &wire{proxy: p, client: client, server: server, in: bufio.NewReader(client), statements: map[string]string{}, portals: map[string]string{}}
	if w.start() != nil {
		return
	}
	p.wait.Go(func() {
		defer client.Close()
		w.answers()
	})
	w.requests()
}

// caught tells whether m springs the trap.
func (p *proxy) caught(m sent) *trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trap == nil || p.trap.nth == 0 || !p.trap.match(m) {
		return nil
	}
	if p.trap.nth--; p.trap.nth > 0 {
		return nil
	}
	return p.trap
}

// wire is one connection.
type wire struct {
	proxy          *proxy
	client, server net.Conn
	in             *bufio.Reader
	foreign        bool // of another program than pgbridge: pg_dump
	statements     map[string]string
	portals        map[string]string
	flushed        uint64

	mu   sync.Mutex
	trap *trap // the server's next answer springs it
}

// start passes on what comes before typed messages.
func (w *wire) start() error {
	for {
		head, err := w.in.Peek(8)
		if err != nil {
			return err
		}
		packet := make([]byte, endian.BigEndian.Uint32(head))
		if _, err := io.ReadFull(w.in, packet); err != nil {
			return err
		}
		if code := endian.BigEndian.Uint32(head[4:]); code == 80877103 || code == 80877104 { // TLS, GSSAPI
			if _, err := w.client.Write([]byte("N")); err != nil {
				return err
			}
			continue
		}
		w.foreign = !strings.Contains(string(packet), "application_name\x00pgbridge\x00")
		_, err = w.server.Write(packet)
		return err
	}
}

// message reads one typed message.
func message(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(5)
	if err != nil {
		return nil, err
	}
	whole := make([]byte, 1+endian.BigEndian.Uint32(head[1:]))
	_, err = io.ReadFull(r, whole)
	return whole, err
}

// requests passes on what the client sends until it is dead.
func (w *wire) requests() {
	for {
		raw, err := message(w.in)
		if err != nil {
			return
		}
		sprung := (*trap)(nil)
		if m, ok := w.read(raw); ok && !w.foreign {
			sprung = w.proxy.caught(m)
		}
		switch {
		case sprung == nil:
			if _, err := w.server.Write(raw); err != nil {
				return
			}
		case sprung.after && raw[0] != 'd':
			w.mu.Lock()
			w.trap = sprung
			w.mu.Unlock()
			if _, err := w.server.Write(raw); err != nil {
				return
			}
		default:
			if sprung.after { // data has no answer
				_, _ = w.server.Write(raw)
			}
			close(sprung.hit)
			_, _ = io.Copy(io.Discard, w.in) // until the client is dead
			return
		}
	}
}

// answers passes on what the server sends until it is gone.
func (w *wire) answers() {
	from := bufio.NewReaderSize(w.server, 64<<10)
	for {
		raw, err := message(from)
		if err != nil {
			return
		}
		w.mu.Lock()
		sprung := w.trap
		w.mu.Unlock()
		switch {
		case sprung == nil:
			if _, err := w.client.Write(raw); err != nil {
				return
			}
		case raw[0] == 'Z':
			close(sprung.hit)
			_, _ = io.Copy(io.Discard, from) // until the client is dead and the server has noticed
			return
		}
	}
}

// read tells what a message makes the server do, if it does.
func (w *wire) read(raw []byte) (sent, bool) {
	body := raw[5:]
	switch raw[0] {
	case 'Q':
		var q pgproto3.Query
		err := q.Decode(body)
		return sent{sql: q.String}, err == nil
	case 'P':
		var q pgproto3.Parse
		if q.Decode(body) == nil {
			w.statements[q.Name] = q.Query
		}
	case 'B':
		var q pgproto3.Bind
		if q.Decode(body) == nil {
			w.portals[q.DestinationPortal] = w.statements[q.PreparedStatement]
		}
	case 'E':
		var q pgproto3.Execute
		err := q.Decode(body)
		return sent{sql: w.portals[q.Portal]}, err == nil
	case 'd':
		return w.data(body)
	}
	return sent{}, false
}

// data is a piece of a COPY, or a standby status.
func (w *wire) data(body []byte) (sent, bool) {
	if len(body) != 34 || body[0] != 'r' {
		return sent{copied: body}, true
	}
	flush := endian.BigEndian.Uint64(body[9:])
	known := w.flushed
	w.flushed = max(known, flush)
	return sent{flush: flush}, known > 0 && flush > known
}
