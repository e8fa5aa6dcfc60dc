package decoder

import (
	"encoding/binary"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// The messages of pgoutput, written the way the server writes them.

func begin(lsn action.LSN, at int64, xid uint32) []byte {
	return join("B", u64(uint64(lsn)), pgTime(at), u32(xid))
}

func commit(lsn, end action.LSN, at int64) []byte {
	return join("C\x00", u64(uint64(lsn)), u64(uint64(end)), pgTime(at))
}

func origin(lsn action.LSN, name string) []byte { return join("O", u64(uint64(lsn)), cstring(name)) }

func typ(oid uint32, schema, name string) []byte {
	return join("Y", u32(oid), cstring(schema), cstring(name))
}

func logical(flags byte, lsn action.LSN, prefix, content string) []byte {
	return join("M", string([]byte{flags}), u64(uint64(lsn)), cstring(prefix), u32(uint32(len(content))), content)
}

// table describes schema.name; a column of the replica identity
// has a star after its name.
func table(oid uint32, qualified string, identity byte, columns ...string) []byte {
	schema, name, _ := strings.Cut(qualified, ".")
	m := join("R", u32(oid), cstring(schema), cstring(name), string([]byte{identity}), u16(len(columns)))
	for _, c := range columns {
		name, key := strings.CutSuffix(c, "*")
		flag := "\x00"
		if key {
			flag = "\x01"
		}
		m = append(m, join(flag, cstring(name), u32(25), u32(0xffffffff))...)
	}
	return m
}

func insert(oid uint32, row string) []byte     { return join("I", u32(oid), row) }
func update(oid uint32, rows ...string) []byte { return join("U", u32(oid), strings.Join(rows, "")) }
func remove(oid uint32, row string) []byte     { return join("D", u32(oid), row) }

func truncate(options byte, oids ...uint32) []byte {
	m := join("T", u32(uint32(len(oids))), string([]byte{options}))
	for _, oid := range oids {
		m = append(m, u32(oid)...)
	}
	return m
}

// The kinds of tuple: new row, old key, old row. A value is a string, nil for
// NULL, or absent.
func newRow(values ...any) string { return tuple("N", values) }
func oldKey(values ...any) string { return tuple("K", values) }
func oldRow(values ...any) string { return tuple("O", values) }

type special byte

const (
	absent special = 'u' // TOAST that did not change
	binry  special = 'b'
)

func tuple(kind string, values []any) string {
	t := kind + u16(len(values))
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			t += "n"
		case string:
			t += "t" + u32(uint32(len(v))) + v
		case special:
			t += string([]byte{byte(v)})
			if v == binry {
				t += u32(1) + "\x01"
			}
		}
	}
	return t
}

func join(parts ...string) []byte { return []byte(strings.Join(parts, "")) }
func cstring(s string) string     { return s + "\x00" }
func u16(n int) string            { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func u32(n uint32) string         { return string(binary.BigEndian.AppendUint32(nil, n)) }
func u64(n uint64) string         { return string(binary.BigEndian.AppendUint64(nil, n)) }

// pgTime is microseconds since 1970 as microseconds since 2000.
func pgTime(at int64) string { return u64(uint64(at - 946684800*1000000)) }
