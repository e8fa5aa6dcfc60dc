package action

import (
	"bytes"
	"crypto/sha256"
)

// NextSchema is the digest of the schema that a statement leaves behind: the
// SHA-256 of the digest before it, the statement, a NUL (which no statement can
// hold), and its settings, as a record writes both.
func NextSchema(before Digest, statement, settings string) Digest {
	h := sha256.New()
	h.Write(before[:])
	h.Write([]byte(statement))
	h.Write([]byte{0})
	h.Write([]byte(settings))
	return Digest(h.Sum(nil))
}

// schemaStart begins an action of statements. No value of a row can hold it: a
// quote in a string has a backslash before it.
var schemaStart = []byte(`{"action":"` + schemaAction + `"`)

// ChangesSchema tells whether a body holds a statement that changes the schema.
func ChangesSchema(body []byte) bool { return bytes.Contains(body, schemaStart) }
