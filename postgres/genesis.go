package postgres

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgbridge/pgbridge/action"
)

// Genesis is the body of a genesis record: what the db-id commits to. Where in
// the WAL it was made is in the header of the record.
type Genesis struct {
	Name     string          `json:"name"`
	Owner    action.Writer   `json:"owner"`   // the key that signs the record
	Writers  []action.Writer `json:"writers"` // in order, each once
	Server   GenesisServer   `json:"server"`
	Roles    []ServerRole    `json:"roles"`     // that the schema uses, as LoadRoles returns them
	Tables   []GenesisTable  `json:"tables"`    // what is published, by name
	PreData  string          `json:"pre_data"`  // as DumpSchema writes it: the whole schema,
	PostData string          `json:"post_data"` // also of what is not published
}

// GenesisServer is the server that the database was on. It is for people, and for
// the choice of a server to restore to.
type GenesisServer struct {
	Version  string `json:"version"`
	Encoding string `json:"encoding"`
	Collate  string `json:"collate"`
	CType    string `json:"ctype"`
}

// Major is 15 for version 15.4; 0 where the version is not known.
func (s GenesisServer) Major() int { return majorOf(s.Version) }

// GenesisTable is a published table.
type GenesisTable struct {
	Name     action.Name     `json:"name"`
	Columns  []GenesisColumn `json:"columns"` // those in the stream: not the generated ones
	Identity ReplicaIdentity `json:"identity"`
	// Key finds a row: the columns of the replica identity, or of the primary key
	// where the identity is the whole row. Empty if only the whole row does.
	Key []string `json:"key"`
}

// GenesisColumn is a column with its type as format_type writes it.
type GenesisColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// NewGenesis describes a database with one writer, its owner.
func NewGenesis(name string, owner action.Writer, server Server, roles []ServerRole, tables []Table, preData, postData string) Genesis {
	g := Genesis{
		Name: name, Owner: owner, Writers: []action.Writer{owner},
		Server:  GenesisServer{Version: server.Text, Encoding: server.Encoding, Collate: server.Collate, CType: server.CType},
		Roles:   append([]ServerRole{}, roles...),
		Tables:  make([]GenesisTable, 0, len(tables)),
		PreData: preData, PostData: postData,
	}
	for _, t := range tables {
		columns := make([]GenesisColumn, 0, len(t.Columns))
		for _, c := range t.Columns {
			if !c.Generated {
				columns = append(columns, GenesisColumn{c.Name, c.Type})
			}
		}
		key := t.Key
		if len(key) == 0 && t.Identity == IdentityFull && isSubset(t.PrimaryKey, t.Stored()) {
			key = t.PrimaryKey
		}
		g.Tables = append(g.Tables, GenesisTable{t.Name, columns, t.Identity, append([]string{}, key...)})
	}
	slices.SortFunc(g.Tables, func(a, b GenesisTable) int { return compareNames(a.Name, b.Name) })
	return g
}

// isSubset tells whether all of a are in b: a primary key may have generated
// columns, which are not published.
func isSubset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

func compareNames(a, b action.Name) int {
	if c := strings.Compare(a.Schema, b.Schema); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// SchemaDigest names the schema that the records after the genesis are written
// against.
func (g *Genesis) SchemaDigest() action.Digest { return SchemaDigest(g.PreData, g.PostData) }

// Encode writes the one form of g: JSON on one line, fields in the order of the
// types above, nothing but what JSON demands escaped (and U+2028 and U+2029).
func (g *Genesis) Encode() ([]byte, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return b.Bytes(), nil
}

// ParseGenesis reads what Encode wrote, and nothing else: not a field more, not a
// byte different.
func ParseGenesis(body []byte) (Genesis, error) {
	var g Genesis
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&g); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Genesis{}, fmt.Errorf("genesis: %w (is this pgbridge too old for it?)", err)
	}
	again, err := g.Encode()
	if err != nil {
		return Genesis{}, err
	}
	if !bytes.Equal(again, body) {
		return Genesis{}, errors.New("genesis: not in canonical form")
	}
	return g, nil
}

func (g *Genesis) check() error {
	ordered := slices.IsSortedFunc(g.Writers, func(a, b action.Writer) int { return bytes.Compare(a[:], b[:]) })
	switch {
	case g.Name == "" || len(g.Name) > 200 || strings.ContainsFunc(g.Name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("genesis: the name of a database is 1 to 200 bytes without control characters")
	case g.Owner == action.Writer{}:
		return errors.New("genesis: no owner")
	case len(g.Writers) == 0:
		return errors.New("genesis: no writer")
	case !ordered || len(slices.Compact(slices.Clone(g.Writers))) != len(g.Writers):
		return errors.New("genesis: the writers are not in order, each once")
	case g.Tables == nil:
		return errors.New("genesis: no list of tables")
	case strings.Contains(g.PreData, "\x00") || strings.Contains(g.PostData, "\x00"):
		return errors.New("genesis: a NUL in the schema")
	}
	if err := checkRoles(g.Roles); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	for i, t := range g.Tables {
		if i > 0 && compareNames(g.Tables[i-1].Name, t.Name) >= 0 {
			return errors.New("genesis: the tables are not in order, each once")
		}
		if err := t.check(); err != nil {
			return fmt.Errorf("genesis: table %s: %w", t.Name, err)
		}
	}
	if !g.isUTF8() {
		return errors.New("genesis: not UTF-8")
	}
	return nil
}

func (t *GenesisTable) check() error {
	if t.Columns == nil || t.Key == nil {
		return errors.New("no list of columns or no key")
	}
	seen := map[string]bool{}
	for _, c := range t.Columns {
		if c.Name == "" || c.Type == "" || seen[c.Name] {
			return fmt.Errorf("column %q is without name or type, or there twice", c.Name)
		}
		seen[c.Name] = true
	}
	for _, k := range t.Key {
		if !seen[k] {
			return fmt.Errorf("key column %q is not a column, or there twice", k)
		}
		seen[k] = false
	}
	switch t.Identity {
	case IdentityDefault, IdentityFull, IdentityIndex, IdentityNothing:
		return nil
	}
	return fmt.Errorf("replica identity %q is not known", t.Identity)
}

// isUTF8 is asked before encoding, which would put U+FFFD for other bytes.
func (g *Genesis) isUTF8() bool {
	s := g.Server
	all := []string{g.Name, s.Version, s.Encoding, s.Collate, s.CType, g.PreData, g.PostData}
	for _, r := range g.Roles {
		all = append(all, r.Name, r.ValidUntil)
		for _, m := range r.MemberOf {
			all = append(all, m.Role)
		}
	}
	for _, t := range g.Tables {
		all = append(all, t.Name.Schema, t.Name.Name)
		for _, c := range t.Columns {
			all = append(all, c.Name, c.Type)
		}
	}
	return !slices.ContainsFunc(all, func(s string) bool { return !utf8.ValidString(s) })
}
