package archive

import (
	"context"
	"errors"

	"github.com/pgbridge/pgbridge/action"
)

// Ref is what an index says of an item: where to get it, and what it claims to
// be. All of it is hearsay until the record is opened.
type Ref struct {
	ID     string // item id, base64url, as Get takes it
	DB     action.Digest
	Writer action.Writer
	Type   Type
	Epoch  uint32
	Seq    uint64
	Digest action.Digest // of the record
}

// Query asks for the records of one writer in one epoch by explicit numbers,
// First to Last inclusive, at most MaxWindow of them. An empty Type means those
// of a chain: all but checkpoints and chunks, which are numbered for themselves.
//
// With Action only those whose tags name that action are asked for. Others may be
// in the answer; and of those that hold the action some may not be, for an item
// has not room for any number of names.
type Query struct {
	DB          action.Digest
	Writer      action.Writer
	Epoch       uint32
	First, Last uint64
	Type        Type
	Action      string
}

// MaxWindow is the most numbers that one Query may ask for. Gateways page
// wrongly (a reader asks for twice the window in one page instead), and 100
// values of one tag are accepted by every index that was tried.
const MaxWindow = 100

// Finder reads an archive. All methods may be called concurrently.
type Finder interface {
	// Find returns what the index knows of q, in no particular order, possibly
	// with duplicates, forgeries and holes. No match is an empty answer, not an
	// error.
	Find(ctx context.Context, q Query) ([]Ref, error)
	// FindGenesis returns the items that claim to be the genesis of db.
	FindGenesis(ctx context.Context, db action.Digest) ([]Ref, error)
	// Get returns the record bytes (the data of the item) under id. It wraps
	// ErrNotFound when the archive does not have it, now or any more.
	Get(ctx context.Context, id string) ([]byte, error)
	// Name is the archive's URL without secrets, for people.
	Name() string
}

// Putter stores items. All methods may be called concurrently.
type Putter interface {
	// Put stores one item, the exact bytes of an ANS-104 data item. It returns
	// nil when the archive has promised to keep it and the promise was checked
	// (a verified receipt, an fsync). Putting the same bytes again is harmless.
	// The errors to branch on: ErrMaybe, ErrRejected, ErrFunds; any other error
	// is transient.
	Put(ctx context.Context, item []byte) (Receipt, error)
	// Status tells how safe the item is. It is asked before every re-post.
	Status(ctx context.Context, id string) (State, error)
	Name() string
}

// Watcher is a Finder that can push.
type Watcher interface {
	// Watch calls found for every item of db that arrives from now on, until
	// ctx ends or the connection breaks, and returns the reason. ready is
	// called once the feed is established: what arrives after it is not
	// missed while the feed lasts.
	Watch(ctx context.Context, db action.Digest, ready func(), found func(Ref)) error
}

// Receipt is an archive's promise, as it was given.
type Receipt struct {
	ID    string // item id
	State State  // Accepted, or at once Confirmed (node, folder)
	Raw   []byte // the answer's JSON, kept as evidence; empty where there is none
}

// State says how safe an item is in one archive.
type State int

// The states, in order.
const (
	Unknown   State = iota // never seen there
	Pending                // seen, not promised
	Accepted               // promised by a verified receipt
	Confirmed              // permanent: deep enough in the chain of blocks; for node and folder the same as Accepted
)

func (s State) String() string {
	return [...]string{"unknown", "pending", "accepted", "confirmed"}[s]
}

// Errors of Put and Get that callers branch on.
var (
	ErrNotFound = errors.New("not in this archive")
	// ErrForged: the archive served something that is not the record it was
	// listed as. Anyone can post such an item: it proves nothing.
	ErrForged = errors.New("not the record it claims to be")
	// ErrMaybe: the archive may or may not have the item (202, 201 without a
	// receipt, a timeout after the body was sent): ask Status, then decide.
	ErrMaybe = errors.New("the archive may have the item: its answer is no proof")
	// ErrRejected: the same bytes will never be taken; a person must decide.
	ErrRejected = errors.New("the archive refused the item")
	// ErrFunds: the account is empty.
	ErrFunds = errors.New("the archive wants payment: no balance left")
)
