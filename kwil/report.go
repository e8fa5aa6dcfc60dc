package kwil

import "time"

// Reason is why an item was not taken for an action.
type Reason string

// The reasons. Those of the first three are not the owner's and harm nobody;
// anybody can post such items. The others may stand for an action of the owner
// that cannot be had: Doubtful.
const (
	// Tags: not the nine tags of an action of this database.
	Tags Reason = "tags"
	// Signature: the action id is not signed by an allowed key.
	Signature Reason = "signature"
	// Owner: the item is signed by another key than its action id.
	Owner Reason = "owner"
	// Item: what the archives serve is not the item that they listed, or it is
	// larger than an action may be.
	Item Reason = "item"
	// Payload: signed by an allowed key, but no action.
	Payload Reason = "payload"
	// Clash: signed by an allowed key, but an earlier item with this action id
	// holds another action.
	Clash Reason = "clash"
)

// Doubtful tells whether a person should look at such an item.
func (r Reason) Doubtful() bool { return r == Item || r == Payload || r == Clash }

// Refusal is an item that was not taken for an action.
type Refusal struct {
	Item   string    `json:"item"`
	Time   time.Time `json:"at,omitzero"`
	ID     string    `json:"id,omitempty"` // the action id that it claims
	Reason Reason    `json:"reason"`
	Detail string    `json:"detail"`
}

// maxRefused bounds Report.Refused for each reason: strangers can post what they like.
const maxRefused = 1000

// Report says what became of the items that the archives listed.
type Report struct {
	Listed  int `json:"listed"`  // distinct items
	Actions int `json:"actions"` // taken, in this order
	Repeats int `json:"repeats"` // items of an action that was taken from an earlier one
	Skipped int `json:"skipped"` // of History.Skip
	// Ties are actions with the same time as the one before: among them the
	// order is that of their item ids, which means nothing.
	Ties    int            `json:"ties"`
	Reasons map[Reason]int `json:"reasons,omitempty"` // how many were refused
	Refused []Refusal      `json:"refused,omitempty"` // the first 1000 for each reason
}

func (r *Report) refuse(f Refusal) {
	if r.Reasons == nil {
		r.Reasons = map[Reason]int{}
	}
	if r.Reasons[f.Reason]++; r.Reasons[f.Reason] <= maxRefused {
		r.Refused = append(r.Refused, f)
	}
}

// Doubtful is how many refused items a person should look at.
func (r *Report) Doubtful() (n int) {
	for reason, count := range r.Reasons {
		if reason.Doubtful() {
			n += count
		}
	}
	return n
}
