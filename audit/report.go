package audit

import (
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Report is what Verify found.
type Report struct {
	DB       action.Digest `json:"db"`
	Name     string        `json:"name"`
	Complete *Place        `json:"complete"` // the last record up to which the archives together have everything; nil without a genesis
	Head     uint64        `json:"head"`     // the last record of the chain that any archive has
	// Checkpoints and Chunks are those that are whole and that the chain confirms.
	Checkpoints int `json:"checkpoints"`
	Chunks      int `json:"chunks"`
	// Archives are those that were asked, in order.
	Archives []Holding `json:"archives"`
	// Faults are what is amiss, in one archive or in all.
	Faults []Fault `json:"faults"`
	// Strangers is how many items were listed under this database's name and are
	// nothing of it. Anyone can post such an item, so they are no fault.
	Strangers int   `json:"strangers"`
	Repaired  int   `json:"repaired"` // items that were copied
	Records   int64 `json:"records"`  // that were read, of all archives
	Bytes     int64 `json:"bytes"`    // of these, as stored

	more int // faults beyond maxFaults
}

// Place is a record of the chain.
type Place struct {
	Epoch  uint32        `json:"epoch"`
	Seq    uint64        `json:"seq"`
	Digest action.Digest `json:"digest"`
	LSN    action.LSN    `json:"lsn"`
	At     time.Time     `json:"at"` // of its last transaction; zero for the genesis
	// Torn: it ends inside of a transaction, of which a restore does nothing.
	Torn bool `json:"torn,omitempty"`
}

// Holding is what one archive has by itself.
type Holding struct {
	Archive  string `json:"archive"`
	Records  int64  `json:"records"`  // good ones of the chain, the genesis too
	Chunks   int64  `json:"chunks"`   // good ones
	Bytes    int64  `json:"bytes"`    // of all good records, as stored
	Complete uint64 `json:"complete"` // the last record up to which it has everything by itself; 0: no genesis
	Error    string `json:"error,omitempty"`
}

// Kind says what is amiss.
type Kind string

// The kinds of Fault.
const (
	Missing     Kind = "missing"     // later records, or the chain, prove that it is
	Damaged     Kind = "damaged"     // what is served is not the record that it is listed as
	Forked      Kind = "forked"      // two records of the writer claim one number
	Unlinked    Kind = "unlinked"    // it does not follow the record before it
	Unreadable  Kind = "unreadable"  // it is signed, and its body is not what it must be
	Unconfirmed Kind = "unconfirmed" // a checkpoint that the chain does not name
	Wrong       Kind = "wrong"       // a checkpoint that does not hold what it says
)

// Fault is one thing that is amiss with a record, or in the same way with
// several that follow each other.
type Fault struct {
	Kind  Kind         `json:"kind"`
	Type  archive.Type `json:"type"` // actions, genesis, checkpoint or chunk
	Epoch uint32       `json:"epoch"`
	First uint64       `json:"first"`
	Last  uint64       `json:"last"`
	// Archive has the fault; empty: all of them have.
	Archive string `json:"archive,omitempty"`
	// Has are the archives that have the record whole.
	Has     []string `json:"has,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Records int      `json:"records"` // how many records it is about
}

// maxFaults bounds the list of faults. What is beyond is counted.
const maxFaults = 10_000

// Faulty is how many faults there are, those that are not listed too.
func (r *Report) Faulty() int { return len(r.Faults) + r.more }

// add adds a fault, to one of the same kind that it follows if there is one.
func (r *Report) add(f Fault) {
	f.Records = 1
	for i := len(r.Faults) - 1; i >= 0 && i >= len(r.Faults)-20; i-- {
		if g := &r.Faults[i]; g.continues(f) {
			g.Last = f.Last
			g.Records++
			return
		}
	}
	if len(r.Faults) >= maxFaults {
		r.more++
		return
	}
	r.Faults = append(r.Faults, f)
}

func (f *Fault) continues(g Fault) bool {
	if f.Kind != g.Kind || f.Type != g.Type || f.Epoch != g.Epoch || f.Archive != g.Archive || f.Detail != g.Detail ||
		f.Last+1 != g.First || len(f.Has) != len(g.Has) {
		return false
	}
	for i := range f.Has {
		if f.Has[i] != g.Has[i] {
			return false
		}
	}
	return true
}
