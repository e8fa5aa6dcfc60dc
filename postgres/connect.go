package postgres

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

const wantURL = "want postgres://user:password@host:port/database " +
	"(write special characters of the password as %XX)"

func cutScheme(url string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(url, "postgres://"); ok {
		return rest, true
	}
	return strings.CutPrefix(url, "postgresql://")
}

// parseFault says what is wrong with a URL without quoting it. The parser's own
// words are used only where no part of a password can be in them: in a malformed
// URL a password may end up as a port, a path or an option.
func parseFault(url string, err error) string {
	rest, _ := cutScheme(url)
	end := strings.IndexAny(rest, "@/?#")
	plain := strings.Count(rest, "@") == 0 || strings.Count(rest, "@") == 1 && rest[end] == '@'
	_, fault, ok := cutLast(err.Error(), "`: ")
	if !plain || !ok || strings.Contains(strings.ToLower(rest), "pass") || strings.HasPrefix(fault, "failed to parse") {
		return wantURL
	}
	return fault
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

type connectError struct {
	text string
	err  error
}

func (e *connectError) Error() string { return e.text }
func (e *connectError) Unwrap() error { return e.err }

// ExplainConnect turns an error of connecting with cfg into one that says where
// it tried to connect and what to do. It wraps err.
func ExplainConnect(cfg *pgconn.Config, err error) error {
	cause, hint := explain(cfg, err)
	text := fmt.Sprintf("connect to database %s at %s as %s: %s", cfg.Database, address(cfg), cfg.User, cause)
	if hint != "" {
		text += ": " + hint
	}
	return &connectError{text: text, err: err}
}

func address(cfg *pgconn.Config) string {
	if network, path := pgconn.NetworkAddress(cfg.Host, cfg.Port); network == "unix" {
		return path
	}
	return fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
}

func explain(cfg *pgconn.Config, err error) (cause, hint string) {
	var (
		pin     pinError
		refused *pgconn.PgError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &pin):
		return pin.Error(), ""
	case errors.As(err, &refused):
		return refused.Message, refusalHint(cfg, refused.Code)
	case errors.As(err, &dns):
		return "host " + dns.Name + " is not known", "check the host name in the database URL"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", "is the server running, and does it listen on this address (listen_addresses, port)?"
	case errors.Is(err, os.ErrNotExist) && strings.HasPrefix(cfg.Host, "/"):
		return "there is no such socket", "is the server running? Give its host in the database URL, or the folder of its socket"
	case errors.As(err, &cert):
		return cert.Error(), "give the server's authority as sslrootcert=FILE in the database URL"
	case pgconn.Timeout(err):
		return "no answer in time", "check host, port and firewall, or set connect_timeout in the database URL"
	}
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		err = failed.Unwrap()
	}
	return strings.Join(strings.Fields(err.Error()), " "), ""
}

// refusalHint is what to do about an error that the server answered with.
func refusalHint(cfg *pgconn.Config, code string) string {
	switch code {
	case "28P01":
		return "check the user and the password in the database URL, PGPASSWORD or the password file"
	case "28000":
		return "check the user name and pg_hba.conf, and whether the server wants TLS (sslmode=require)"
	case "3D000":
		return "check the name in the database URL, or create it: createdb " + cfg.Database
	case "42501":
		return "GRANT CONNECT ON DATABASE " + cfg.Database + " TO " + cfg.User
	case "53300":
		return "raise max_connections or max_wal_senders, or close other sessions"
	case "57P03":
		return "try again in a moment"
	case "42704", "08P01":
		return "pgbridge needs Postgres 14 or newer, and Postgres itself, not a pooler"
	}
	return ""
}
