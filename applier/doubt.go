package applier

import (
	"context"
	"sync"
	"time"
)

// doubts are the items that were not what they claim to be. The fault may have
// been on the way, or an error page of a gateway, so each is asked for again, but
// ever less often: anyone can post an item with our tags. Safe for concurrent use.
type doubts struct {
	mu    sync.Mutex
	items map[string]doubt
}

type doubt struct {
	seq   uint64 // of the record that it claims to be
	tries int
	until time.Time
}

const (
	firstDoubt = time.Second
	mostDoubt  = time.Hour
	// triesToEnd is how often an item is asked for that restore needs.
	triesToEnd = 3
)

// add notes that the item was not the record.
func (d *doubts) add(id string, seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.items == nil {
		d.items = map[string]doubt{}
	}
	it := d.items[id]
	pause := min(firstDoubt<<min(it.tries, 20), mostDoubt)
	d.items[id] = doubt{seq, it.tries + 1, time.Now().Add(pause)}
}

// has tells whether the item is not to be asked for yet.
func (d *doubts) has(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.items[id].until)
}

// forget drops what claims to be a record before seq.
func (d *doubts) forget(seq uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, it := range d.items {
		if it.seq < seq {
			delete(d.items, id)
		}
	}
}

// wait waits until an item that claims to be record seq may be asked for again,
// for those that were not asked for triesToEnd times. It tells whether there is one.
func (d *doubts) wait(ctx context.Context, seq uint64) bool {
	d.mu.Lock()
	var until time.Time
	for _, it := range d.items {
		if it.seq == seq && it.tries < triesToEnd && it.until.After(until) {
			until = it.until
		}
	}
	d.mu.Unlock()
	if until.IsZero() {
		return false
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return true
}
