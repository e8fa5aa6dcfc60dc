package slot_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

// secured listens for connections that ask for TLS as Postgres clients do, and
// passes what is in them on to the server.
func secured(t *testing.T, server string) net.Addr {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { pass(outside, server, config) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr()
}

func pass(outside net.Conn, server string, config *tls.Config) {
	defer outside.Close()
	request := make([]byte, 8) // SSLRequest
	if _, err := io.ReadFull(outside, request); err != nil {
		return
	}
	if _, err := outside.Write([]byte("S")); err != nil {
		return
	}
	inside, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer inside.Close()
	encrypted := tls.Server(outside, config)
	var back sync.WaitGroup
	back.Go(func() {
		defer inside.Close()
		io.Copy(inside, encrypted)
	})
	io.Copy(encrypted, inside)
	outside.Close()
	back.Wait()
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	addr := secured(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(db.Cluster.Port())))
	config := replication(t, db)
	config.TLSConfig = &tls.Config{InsecureSkipVerify: true} // the proxy's certificate is nobody's
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, addr.String())
	}

	const rows = 20_000
	db.Exec(t, `INSERT INTO t SELECT i, 'a row of some length' FROM generate_series(1, $1::int) i`, rows)
	r := reader{stream: start(t, config, 0)}
	run(t, r.stream)
	for end := now(t, db); r.at < end; {
		// Deadlines that pass in the middle of a record do no harm.
		if err := r.take(t, time.Now().Add(time.Millisecond)); err != nil && !errors.Is(err, slot.ErrDeadline) {
			t.Fatal(err)
		}
	}
	if len(r.ids) != rows || r.ids[rows-1] != strconv.Itoa(rows) {
		t.Errorf("got %d rows, want %d", len(r.ids), rows)
	}
	r.stream.Ack(r.at)
	db.Wait(t, r.at.String(), `SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`, name(t))
}
