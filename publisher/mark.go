package publisher

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"strconv"
)

// markPrefix is the prefix of the logical messages that are marks.
const markPrefix = "pgbridge"

// The kinds of marks.
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
// the owner can read, and of the transaction, so that a token that leaked is of
// no use in another. Owners of actions get the token of calls; that of a mark
// whose statement peers run, or whose digest they trust, has its kind in it.
type marks struct {
	secret string
	xid    uint32
	kind   byte                  // 0 for calls and definitions
	token  [2 * sha256.Size]byte // of xid and kind
}

// open takes a mark of the transaction apart. ok is false if it is forged.
func (m *marks) open(content []byte, xid uint32) (kind byte, payload []byte, ok bool) {
	n := len(m.token)
	if m.secret == "" || len(content) <= n {
		return 0, nil, false
	}
	m.prepare(xid, content[n])
	if subtle.ConstantTimeCompare(content[:n], m.token[:]) != 1 {
		return 0, nil, false
	}
	return content[n], content[n+1:], true
}

// prepare computes the token of a mark.
func (m *marks) prepare(xid uint32, kind byte) {
	var own string
	switch kind {
	case markCall, markEnd, markDefine:
		kind = 0
	default:
		own = ":" + string(rune(kind))
	}
	if m.xid == xid && m.kind == kind {
		return
	}
	sum := sha256.Sum256([]byte(m.secret + ":" + strconv.FormatUint(uint64(xid), 10) + own))
	hex.Encode(m.token[:], sum[:])
	m.xid, m.kind = xid, kind
}
