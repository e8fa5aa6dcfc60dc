package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// pins are the settings of every session. They travel in the startup packet,
// where they win over postgresql.conf, ALTER DATABASE, ALTER ROLE and PGOPTIONS,
// and hold before a login event trigger can run.
//
// The first group decides how values are written. ISO dates are written year
// first whatever the order says; YMD makes the reading agree with the writing.
// Any extra_float_digits above 0 gives the shortest text that reads back as the
// same float. The second group decides how names, literals and definitions are
// read and written, so that one schema has one text. The search_path ends in pg_temp,
// which the server would else search first: no object of a user can stand in for another.
// The third group keeps limits meant for applications away from work that has to
// wait, makes row level security an error instead of missing rows, and makes a
// commit durable before the slot is told of it.
var pins = map[string]string{
	"client_encoding":    "UTF8",
	"datestyle":          "ISO,YMD",
	"intervalstyle":      "postgres",
	"timezone":           "UTC",
	"extra_float_digits": "3",
	"bytea_output":       "hex",
	"lc_monetary":        "C",
	"xmlbinary":          "base64",
	"xmloption":          "content",

	"search_path":                 "pg_catalog,pg_temp",
	"quote_all_identifiers":       "off",
	"standard_conforming_strings": "on",
	"array_nulls":                 "on",
	"transform_null_equals":       "off",
	"client_min_messages":         "warning",

	"statement_timeout":                   "0",
	"lock_timeout":                        "0",
	"idle_in_transaction_session_timeout": "0",
	"idle_session_timeout":                "0",
	"default_transaction_isolation":       "read committed",
	"default_transaction_read_only":       "off",
	"default_transaction_deferrable":      "off",
	"row_security":                        "off",
	"synchronous_commit":                  "on",
}

// senderTimeout pins wal_sender_timeout on the replication connection: long
// enough for a slow link, short enough that a connection that died without a
// word gives the slot back.
const senderTimeout = "60s"

// applicationName is what sessions of pgbridge call themselves when the URL has no name.
const applicationName = "pgbridge"

// dialTimeout bounds one attempt to connect when the URL has no connect_timeout.
const dialTimeout = 15 * time.Second

// Config parses a database URL, postgres://user:password@host:port/database, as
// libpq does (PG* variables and the password file fill what it leaves out), and
// pins the session settings, whatever the URL says of them. No error of it shows
// any part of the URL that could be a password.
func Config(url string) (*pgx.ConnConfig, error) {
	if _, ok := cutScheme(url); !ok {
		return nil, errors.New("database URL: " + wantURL)
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database URL: %s", parseFault(url, err))
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = dialTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = applicationName
	}
	for name, value := range pins {
		deleteFold(cfg.RuntimeParams, name)
		cfg.RuntimeParams[name] = value
	}
	cfg.AfterConnect = pinSession
	return cfg, nil
}

// ReplicationConfig is Config for the connection that reads the slot. It speaks
// the replication protocol and the simple query protocol only.
func ReplicationConfig(url string) (*pgconn.Config, error) {
	cfg, err := Config(url)
	if err != nil {
		return nil, err
	}
	deleteFold(cfg.RuntimeParams, "wal_sender_timeout")
	cfg.RuntimeParams["wal_sender_timeout"] = senderTimeout
	cfg.RuntimeParams["replication"] = "database"
	return &cfg.Config, nil
}

// deleteFold deletes name in any spelling: the server does not mind the case,
// and of two spellings in one startup packet either could come last.
func deleteFold(params map[string]string, name string) {
	for key := range params {
		if strings.EqualFold(key, name) {
			delete(params, key)
		}
	}
}

// Connect opens a session with every setting pinned. Its errors say where it
// tried to connect and what to do, and hold the cause (*pgconn.PgError, net.Error).
func Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	cfg, err := Config(url)
	if err != nil {
		return nil, err
	}
	cfg.BuildFrontend = buffered
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, ExplainConnect(&cfg.Config, err)
	}
	return conn, nil
}

// buffered reads as much as has come: the server sends rows of COPY in pieces of
// 8 kB, and pgx would make a system call for each.
func buffered(r io.Reader, w io.Writer) *pgproto3.Frontend {
	return pgproto3.NewFrontend(bufio.NewReaderSize(r, 128<<10), w)
}

// pinSession pins what older servers do not know (unknown settings in a startup
// packet refuse the connection), and makes sure that the pins arrived: a pooler
// may drop them in silence, and with them the meaning of every date.
func pinSession(ctx context.Context, conn *pgconn.PgConn) error {
	for _, name := range []string{"DateStyle", "IntervalStyle", "TimeZone", "client_encoding"} {
		want := strings.ReplaceAll(pins[strings.ToLower(name)], ",", ", ")
		if got := conn.ParameterStatus(name); got != want {
			return pinError{name: name, got: got, want: want}
		}
	}
	if majorOf(conn.ParameterStatus("server_version")) < 17 {
		return nil
	}
	_, err := conn.Exec(ctx, "SET transaction_timeout = 0").ReadAll()
	return err
}

// Before15 tells whether the server is older than 15, where rights to set parameters
// cannot be granted.
func Before15(conn *pgx.Conn) bool {
	return majorOf(conn.PgConn().ParameterStatus("server_version")) < 15
}

// Repin is SQL that puts back every setting of a session of this package, after code
// that may have changed them: the pins of the startup packet, and what was pinned later.
func Repin(conn *pgconn.PgConn) string {
	if majorOf(conn.ParameterStatus("server_version")) < 17 {
		return "RESET ALL"
	}
	return "RESET ALL; SET transaction_timeout = 0"
}

// majorOf reads the major version of texts like 15.18 (Debian), 18beta1, 19devel.
func majorOf(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	major, _ := strconv.Atoi(version[:end])
	return major
}

type pinError struct{ name, got, want string }

func (e pinError) Error() string {
	return fmt.Sprintf("%s is %q and not %q as asked for: connect to Postgres itself, not through a pooler", e.name, e.got, e.want)
}
