package publisher

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
)

// markPrefix is the prefix of the logical messages that are marks.
const markPrefix = "pgbridge"

// The kinds of marks: see sql/functions/marks.sql and statements.sql.
const (
	markCall       = 'c' // a call begins
	markEnd        = 'e' // it ends
	markDefine     = 'd' // an action was defined, or dropped
	markCheckpoint = 'k' // a checkpoint was made
	markSchema     = 's' // a statement changed the schema
	markClear      = 'w' // a table was rewritten with values that a peer cannot compute
	markRows       = 'v' // some of them
)

// marks tells true marks from forged ones. Any role that can log in may write a
// logical message; a true one begins with a token made of the secret, which only
// the owner can read, of the transaction, and of what it may say: its kind, and
// the name of the action that is called. So a token that leaked is of no use in
// another transaction, and the owner of an action, who gets those of its calls,
// can write no other mark.
type marks struct {
	secret string
	xid    uint32
	kind   byte    // that last is the token of; 0: of none
	name   string  // and its action
	last   token   // computed
	calls  []token // of those that are open, the outermost first
}

type token [2 * sha256.Size]byte

// begin forgets the calls of the transaction before.
func (m *marks) begin(xid uint32) { m.xid, m.kind, m.calls = xid, 0, m.calls[:0] }

// open takes a mark of the transaction apart. ok is false if it is forged.
func (m *marks) open(content []byte) (kind byte, payload []byte, ok bool) {
	n := len(token{})
	if m.secret == "" || len(content) <= n {
		return 0, nil, false
	}
	kind, payload = content[n], content[n+1:]
	want := m.want(kind, payload)
	if want == nil || subtle.ConstantTimeCompare(content[:n], want[:]) != 1 {
		return 0, nil, false
	}
	return kind, payload, true
}

// want is the token that a mark is to have; nil: there can be none.
func (m *marks) want(kind byte, payload []byte) *token {
	var name []byte
	switch kind {
	case 0:
		return nil // what m.kind is where last is of no mark
	case markEnd:
		if len(m.calls) == 0 {
			return nil
		}
		return &m.calls[len(m.calls)-1]
	case markCall:
		name = calledName(payload)
	}
	if m.kind != kind || m.name != string(name) {
		m.kind, m.name = kind, string(name)
		sum := sha256.Sum256([]byte(m.secret + ":" + strconv.FormatUint(uint64(m.xid), 10) + ":" + string(rune(kind)) + m.name))
		hex.Encode(m.last[:], sum[:])
	}
	return &m.last
}

// enter notes that the call whose mark was opened last has begun; leave, that
// the innermost has ended.
func (m *marks) enter() { m.calls = append(m.calls, m.last) }
func (m *marks) leave() { m.calls = m.calls[:len(m.calls)-1] }

// calledName is the first string, in JSON, of the payload of a call.
func calledName(payload []byte) []byte {
	for i := 2; i < len(payload); i++ {
		switch payload[i] {
		case '\\':
			i++
		case '"':
			return payload[1 : i+1]
		}
	}
	return nil
}
