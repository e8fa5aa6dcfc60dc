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
// no use in another.
type marks struct {
	secret string
	xid    uint32
	token  [2 * sha256.Size]byte // of xid
}

// open takes a mark of the transaction apart. ok is false if it is forged.
func (m *marks) open(content []byte, xid uint32) (kind byte, payload []byte, ok bool) {
	if m.xid != xid {
		sum := sha256.Sum256([]byte(m.secret + ":" + strconv.FormatUint(uint64(xid), 10)))
		hex.Encode(m.token[:], sum[:])
		m.xid = xid
	}
	n := len(m.token)
	if m.secret == "" || len(content) <= n || subtle.ConstantTimeCompare(content[:n], m.token[:]) != 1 {
		return 0, nil, false
	}
	return content[n], content[n+1:], true
}
