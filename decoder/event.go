package decoder

import "github.com/pgbridge/pgbridge/action"

// Kind tells what an Event is.
type Kind byte

// The kinds. A transaction is Begin, perhaps Origin, any number of Row,
// Truncate, Message and Nothing, and Commit. A Message that is not
// transactional may stand outside.
const (
	Nothing Kind = iota // a message that only teaches the decoder (relation, type)
	Begin
	Commit
	Origin
	Row
	Truncate
	Message
)

// Event is one message of the stream. Only the fields of its kind are set.
// Values and Content point into the message.
type Event struct {
	Kind Kind
	// LSN is for Begin and Commit the position of the commit, for Message its
	// own, for Origin the position at the origin.
	LSN action.LSN
	// End is for Commit the position after it: acknowledging it acknowledges
	// the transaction.
	End action.LSN
	// Time is for Begin and Commit the commit time, microseconds since 1970 UTC.
	Time int64
	XID  uint32 // Begin

	Shape  *action.Shape // Row
	Values [][]byte      // Row: as action.Body.Row takes them

	Truncates []*action.Shape // Truncate: the tables of one statement

	Name          string // Origin: its name; Message: its prefix
	Content       []byte // Message
	Transactional bool   // Message
}
