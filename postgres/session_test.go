package postgres

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgbridge/pgbridge/action"
)

// hostile holds for each pin a value that a database or a role may have as its
// default, and that would change what pgbridge reads or writes.
var hostile = map[string]string{
	"client_encoding":                     "LATIN1",
	"datestyle":                           "'SQL, DMY'",
	"intervalstyle":                       "iso_8601",
	"timezone":                            "'Asia/Tokyo'",
	"extra_float_digits":                  "'-15'",
	"bytea_output":                        "escape",
	"lc_monetary":                         "'C.UTF-8'",
	"xmlbinary":                           "hex",
	"xmloption":                           "document",
	"search_path":                         "trap, public",
	"quote_all_identifiers":               "on",
	"standard_conforming_strings":         "off",
	"array_nulls":                         "off",
	"transform_null_equals":               "on",
	"client_min_messages":                 "error",
	"statement_timeout":                   "1",
	"lock_timeout":                        "1",
	"idle_in_transaction_session_timeout": "1",
	"idle_session_timeout":                "1",
	"default_transaction_isolation":       "serializable",
	"default_transaction_read_only":       "on",
	"default_transaction_deferrable":      "on",
	"row_security":                        "on",
	"synchronous_commit":                  "off",
}

// newer17 are the hostile settings that only 17 and newer know. A startup packet
// cannot hold them, so the statement that pins this one has to survive it.
var newer17 = map[string]string{"transaction_timeout": "5000"}

func TestPinsWinOverHostileDefaults(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(hostile)), slices.Sorted(maps.Keys(pins)); !slices.Equal(got, want) {
		t.Fatalf("hostile settings for %v, want one for each pin: %v", got, want)
	}
	for _, level := range []string{"database", "role", "role in database"} {
		t.Run(level, func(t *testing.T) {
			db, admin := newDatabase(t)
			role := newRole(t, admin, "LOGIN REPLICATION")
			mustExec(t, admin, "CREATE SCHEMA trap")
			quotedName, quotedRole := action.QuoteIdent(db.Name), action.QuoteIdent(role)
			alter := map[string]string{
				"database":         "ALTER DATABASE " + quotedName,
				"role":             "ALTER ROLE " + quotedRole,
				"role in database": "ALTER ROLE " + quotedRole + " IN DATABASE " + quotedName,
			}[level]
			settings := maps.Clone(hostile)
			if major(t, admin) >= 17 {
				maps.Copy(settings, newer17)
			}
			setHostile(t, admin, alter, settings)
			url := db.URLAs(role) + "&options=-c%20datestyle%3DPostgres&TimeZone=Asia/Tokyo&statement_timeout=5"
			t.Run("ordinary", func(t *testing.T) {
				conn := connect(t, url)
				for setting := range settings {
					checkPin(t, setting, queryText(t, conn, "SELECT current_setting($1)", setting))
				}
			})
			t.Run("replication", func(t *testing.T) {
				cfg, err := ReplicationConfig(url)
				if err != nil {
					t.Fatal(err)
				}
				conn, err := pgconn.ConnectConfig(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close(context.Background())
				for setting := range settings {
					checkPin(t, setting, replicationShow(t, conn, setting))
				}
				if got := replicationShow(t, conn, "wal_sender_timeout"); got != "1min" {
					t.Errorf("wal_sender_timeout is %q, want 1min", got)
				}
				identify, err := conn.Exec(t.Context(), "IDENTIFY_SYSTEM").ReadAll()
				if err != nil || len(identify[0].Rows) != 1 {
					t.Errorf("IDENTIFY_SYSTEM: got %v, %v: not a replication connection", identify, err)
				}
			})
		})
	}
}

// setHostile gives a database or a role the settings until the test ends.
func setHostile(t *testing.T, admin Querier, alter string, settings map[string]string) {
	t.Helper()
	for setting, value := range settings {
		mustExec(t, admin, alter+" SET "+setting+" = "+value)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), alter+" RESET ALL"); err != nil {
			t.Error(err)
		}
	})
}

func checkPin(t *testing.T, setting, got string) {
	t.Helper()
	want := pins[setting]
	if setting == "transaction_timeout" {
		want = "0"
	}
	if strings.ReplaceAll(got, ", ", ",") != want {
		t.Errorf("%s is %q, want %q", setting, got, want)
	}
}

func replicationShow(t *testing.T, conn *pgconn.PgConn, setting string) string {
	t.Helper()
	results, err := conn.Exec(t.Context(), "SHOW "+setting).ReadAll()
	if err != nil {
		t.Fatalf("SHOW %s: %v", setting, err)
	}
	return string(results[0].Rows[0][0])
}

// The values whose text depends on the session, written under hostile defaults:
// the text must be the one and only, and reading it must give the same value.
func TestValuesHaveOneText(t *testing.T) {
	db, admin := newDatabase(t)
	setHostile(t, admin, "ALTER DATABASE "+action.QuoteIdent(db.Name), hostile)
	conn := connect(t, db.URL())
	for _, tt := range []struct{ value, typ, want string }{
		{"'2025-06-05 10:00:00.123456+00'", "timestamptz", "2025-06-05 10:00:00.123456+00"},
		{"'2025-06-05 19:00:00+09'", "timestamptz", "2025-06-05 10:00:00+00"},
		{"'0044-03-15 BC'", "date", "0044-03-15 BC"},
		{"'12345-01-02'", "date", "12345-01-02"},
		{"'infinity'", "date", "infinity"},
		{"'2001-02-03'", "date", "2001-02-03"},
		{"'24:00:00'", "time", "24:00:00"},
		{"'10:00:00-08'", "timetz", "10:00:00-08"},
		{"'1 year -2 days 3:04:05.6'", "interval", "1 year -2 days +03:04:05.6"},
		{"0.1::float8 + 0.2", "float8", "0.30000000000000004"},
		{"1.1", "float4", "1.1"},
		{"'-0'", "float8", "-0"},
		{"'NaN'", "numeric", "NaN"},
		{`'\x00dead'`, "bytea", `\x00dead`},
		{"1234.5", "money", "$1,234.50"},
		{"'<a/><b/>'", "xml", "<a/><b/>"},
		{"'[2025-06-05 10:00+00,2025-06-06 10:00+00)'", "tstzrange", `["2025-06-05 10:00:00+00","2025-06-06 10:00:00+00")`},
		{"ARRAY[NULL, 'NULL', 'a\"b']", "text[]", `{NULL,"NULL","a\"b"}`},
	} {
		t.Run(tt.typ+" "+tt.want, func(t *testing.T) {
			got := queryText(t, conn, "SELECT ("+tt.value+")::"+tt.typ+"::text")
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			again := queryText(t, conn, "SELECT $1::text::"+tt.typ+"::text", got)
			if again != got {
				t.Errorf("read back and written: got %s, want %s", again, got)
			}
		})
	}
}

func TestConfigNeverShowsThePassword(t *testing.T) {
	for _, url := range []string{
		"",
		"sEcReT",
		"host=db password=sEcReT",
		"mysql://u:sEcReT@db/app",
		"postgres://u:sEcReT@db:port/app",
		"postgres://u:sE/cReT@db/app",
		"postgres://u:sE?cReT=1@db/app",
		"postgres://u:sE#cReT@db/app?sslmode=wrong",
		"postgres://u:a:sEcReT@db/app",
		"postgres://u:%zzsEcReT@db/app",
		"postgres://u:x@y@sEcReT/app?connect_timeout=sEcReT",
		"postgres://u@db/app?password=sEcReT&connect_timeout=abc",
		"postgres://u@db/app?target_session_attrs=wrong&pass%77ord=sEcReT",
		"postgres://u:sEcReT@db/app?sslmode=wrong",
		"postgres://u:sEcReT@db/app?sslrootcert=/does/not/exist&sslmode=verify-full",
		"postgres://u:se/cret@db/app?target_session_attrs=sEcReT",
	} {
		_, err := Config(url)
		if err == nil {
			// Legal, if strange: then connecting must not show it either.
			continue
		}
		if text := err.Error(); strings.Contains(text, "sEcReT") || strings.Contains(text, "cReT") || strings.Contains(text, "sE") {
			t.Errorf("error shows the password: %s", text)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct{ name, url, want string }{
		{"not a URL", "dbname=app", "want postgres://"},
		{"empty", "", "want postgres://"},
		{"bad port", "postgres://u:p@db:x/app", "invalid port"},
		{"no certificate", "postgres://u@db/app?sslmode=verify-full&sslrootcert=/does/not/exist", "/does/not/exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Config(tt.url)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestConnectSaysWhatToDo(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "NOLOGIN")
	missing := *db
	missing.Name = "no such"
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := closed.Addr().String()
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()

	for _, tt := range []struct {
		name, url string
		want      []string
	}{
		{"missing database", missing.URL(), []string{"database no such", "does not exist", "createdb"}},
		{"missing role", db.URLAs("nobody here"), []string{"nobody here", "user name", "pg_hba.conf"}},
		{"not allowed in", db.URLAs(role), []string{"not permitted to log in"}},
		{"no socket", "postgres:///app?user=u&host=/does/not/exist", []string{"no such socket", "is the server running"}},
		{"refused", "postgres://u:sEcReT@" + refusing + "/app?sslmode=disable", []string{refusing, "connection refused", "listen_addresses"}},
		{"no answer", "postgres://u:sEcReT@" + silent.Addr().String() + "/app?connect_timeout=1&sslmode=disable", []string{"no answer in time"}},
		{"unknown host", "postgres://u:sEcReT@no-such-host.invalid/app", []string{"no-such-host.invalid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := Connect(ctx, tt.url)
			if err == nil {
				t.Fatal("connected, want an error")
			}
			for _, want := range append(tt.want, "connect to database") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "sEcReT") {
				t.Errorf("error shows the password: %v", err)
			}
		})
	}
}

func TestRefusalHint(t *testing.T) {
	cfg, err := Config("postgres://u:sEcReT@db/app")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{
		"28P01": "password", "28000": "pg_hba.conf", "3D000": "createdb app", "42501": "GRANT CONNECT",
		"53300": "max_connections", "57P03": "try again", "42704": "pooler", "08P01": "pooler", "XX000": "",
	} {
		err := ExplainConnect(&cfg.Config, &pgconn.PgError{Code: code, Message: "refused"})
		if !strings.HasPrefix(err.Error(), "connect to database app at db:5432 as u: refused") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, want it to say %q", code, err, want)
		}
	}
}

func TestMajorOf(t *testing.T) {
	for text, want := range map[string]int{"15.18 (Debian 15.18-0+deb12u1)": 15, "18beta1": 18, "19devel": 19, "17": 17, "": 0} {
		if got := majorOf(text); got != want {
			t.Errorf("majorOf(%q) = %d, want %d", text, got, want)
		}
	}
}
