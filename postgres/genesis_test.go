package postgres

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func sampleGenesis() Genesis {
	name := func(s string) action.Name { return action.Name{Schema: "My App", Name: s} }
	return NewGenesis("Blog <é>", action.Writer{0xab, 1}, Server{Version: 150018, Text: "15.18", Encoding: "UTF8", Collate: "C.UTF-8", CType: "C.UTF-8"},
		[]ServerRole{
			{Name: "Al\"ice", Inherit: true, Login: true, Connections: 5, ValidUntil: "2030-01-01 00:00:00+00", MemberOf: []Membership{{"readers", true, false, true}}},
			{Name: "readers", Connections: -1, MemberOf: []Membership{}},
		},
		[]Table{
			{Name: name("tags"), Identity: IdentityFull, Columns: []Column{{Name: "tag", Type: "text"}}},
			{Name: name("Posts"), Identity: IdentityDefault, PrimaryKey: []string{"id"}, Key: []string{"id"}, Columns: []Column{
				{Name: "id", Type: "bigint", NotNull: true, Identity: "always"},
				{Name: "ti\"tle", Type: "character varying(10)"},
				{Name: "shout", Type: "text", Generated: true},
			}},
			{Name: name("full"), Identity: IdentityFull, PrimaryKey: []string{"id"}, Columns: []Column{{Name: "id", Type: "bigint"}}},
		},
		"CREATE TABLE \"My App\".tags (\n    tag text\n);\n\n", "COMMENT ON TABLE t IS '\u2028 \x7f & \\';\n\n")
}

// The file is the wire format of version 1. If this fails the format changed:
// that needs a new version, not a new file.
func TestGenesisGolden(t *testing.T) {
	g := sampleGenesis()
	got, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/genesis.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	again, err := ParseGenesis(want)
	if err != nil || !reflect.DeepEqual(again, g) {
		t.Errorf("parsed %+v, %v, want %+v", again, err, g)
	}
	if got, want := g.SchemaDigest().String(), "b173d859c81ce5cd5a302294b73c801a21f3f0d2ac401f43e32d7395f94b299b"; got != want {
		t.Errorf("schema digest %s, want %s", got, want)
	}
}

func TestParseGenesisIsStrict(t *testing.T) {
	g := sampleGenesis()
	body, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"unknown field", `{"name":`, `{"more":1,"name":`, "too old"},
		{"unknown field inside", `"identity":"default"`, `"identity":"default","more":1`, "too old"},
		{"white space", `{"name":`, `{ "name":`, "canonical"},
		{"field twice", `{"name":`, `{"name":"x","name":`, "canonical"},
		{"field in capitals", `{"name":`, `{"NAME":`, "canonical"},
		{"order of fields", `"encoding":"UTF8","collate":"C.UTF-8"`, `"collate":"C.UTF-8","encoding":"UTF8"`, "canonical"},
		{"something after", "}\n", "}\n{}\n", "canonical"},
		{"cut off", `,"post_data"`, "", "genesis: "},
		{"no table list", `"tables":[`, `"tables":null,"x":[`, "genesis: "},
		{"no writers", `"writers":["`, `"writers":[],"x":["`, "genesis: "},
		{"owner", `"owner":"ab`, `"owner":"AB`, "genesis: "},
		{"identity", `"identity":"default"`, `"identity":"other"`, "not known"},
		{"key", `"key":["id"]`, `"key":["missing"]`, "key column"},
		{"order of tables", `"name":"\"My App\".tags"`, `"name":"\"Aa\".tags"`, "in order"},
		{"bad UTF-8", "é", "\xff", "genesis: "},
		{"empty name", `"Blog <é>"`, `""`, "1 to 200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(string(body), tt.old, tt.new, 1)
			if changed == string(body) {
				t.Fatalf("nothing to replace: %s", tt.old)
			}
			if _, err := ParseGenesis([]byte(changed)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := ParseGenesis(nil); err == nil {
		t.Error("an empty body was accepted")
	}
}

func TestEncodeGenesisChecks(t *testing.T) {
	for name, spoil := range map[string]func(*Genesis){
		"no owner":        func(g *Genesis) { g.Owner = action.Writer{} },
		"no writers":      func(g *Genesis) { g.Writers = nil },
		"writer twice":    func(g *Genesis) { g.Writers = append(g.Writers, g.Writers[0]) },
		"writers' order":  func(g *Genesis) { g.Writers = append(g.Writers, action.Writer{1}) },
		"table twice":     func(g *Genesis) { g.Tables = append(g.Tables, g.Tables[2]) },
		"column twice":    func(g *Genesis) { g.Tables[0].Columns = append(g.Tables[0].Columns, g.Tables[0].Columns[0]) },
		"key twice":       func(g *Genesis) { g.Tables[0].Key = []string{"id", "id"} },
		"NUL":             func(g *Genesis) { g.PostData += "\x00" },
		"not UTF-8":       func(g *Genesis) { g.PreData += "\xff" },
		"column not UTF8": func(g *Genesis) { g.Tables[0].Columns[0].Type = "\xff" },
		"no roles":        func(g *Genesis) { g.Roles = nil },
		"role twice":      func(g *Genesis) { g.Roles = append(g.Roles, g.Roles[1]) },
		"role not UTF-8":  func(g *Genesis) { g.Roles[0].MemberOf[0].Role = "\xff" },
		"memberships":     func(g *Genesis) { g.Roles[1].MemberOf = nil },
		"name":            func(g *Genesis) { g.Name = "a\nb" },
		"long name":       func(g *Genesis) { g.Name = strings.Repeat("x", 201) },
	} {
		g := sampleGenesis()
		spoil(&g)
		if _, err := g.Encode(); err == nil {
			t.Errorf("%s: encoded, want an error", name)
		}
	}
}

// A genesis that parses is the one that was encoded.
func FuzzParseGenesis(f *testing.F) {
	g := sampleGenesis()
	body, err := g.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := ParseGenesis(body)
		if err != nil {
			return
		}
		if again, err := g.Encode(); err != nil || !bytes.Equal(again, body) {
			t.Errorf("encoded again: %q, %v, want %q", again, err, body)
		}
	})
}

func TestGenesisOfADatabase(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, richSchema)
	tables, err := Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	server, err := LoadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	pre, post := dumpBoth(t, findDump(t, conn), db.URL(), "")
	g := NewGenesis("app", action.Writer{1}, server, nil, tables, pre, post)
	body, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseGenesis(body)
	if err != nil || !reflect.DeepEqual(again, g) {
		t.Errorf("parsed: %v, want what was encoded", err)
	}
}

func TestRequireEmpty(t *testing.T) {
	_, conn := migrated(t)
	mustExec(t, conn, "CREATE EXTENSION hstore SCHEMA public")
	if err := RequireEmpty(t.Context(), conn); err != nil {
		t.Errorf("only extensions and pgbridge: %v", err)
	}
	for sql, want := range map[string]string{
		`CREATE TABLE public."T 1" (x int); CREATE SCHEMA s; CREATE SEQUENCE s.q; CREATE VIEW s.v AS SELECT 1`: `table public."T 1", schema s, sequence s.q and 1 more`,
		"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'":                                    "function public.f",
		"CREATE TYPE public.e AS ENUM ('a')":                                                                   "type public.e",
		"CREATE TYPE public.c AS (x int)":                                                                      "type public.c",
		"CREATE DOMAIN public.d AS int":                                                                        "type public.d",
		"CREATE MATERIALIZED VIEW public.m AS SELECT 1":                                                        "materialized view public.m",
	} {
		tx := begin(t, conn)
		mustExec(t, tx, sql)
		if err := RequireEmpty(t.Context(), tx); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "createdb") {
			t.Errorf("%s: got %v, want an error with %q", sql, err, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
