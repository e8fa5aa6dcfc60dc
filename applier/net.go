package applier

import "github.com/pgbridge/pgbridge/action"

// net is the net effect of row actions on one table: what has to be done so
// that the table is as if they had been applied one by one. For tables with a
// key there is one change per key; for others only inserts are collected.
// Values are not copied: the bodies they point into must live until reset.
type net struct {
	table   *table
	changes []change
	values  []action.Value // arena of the changes
	index   map[string]int32
	indexed int // how many of changes are in index
	scratch []byte
	rows    int // row actions taken in
}

// change is the net effect on one row.
type change struct {
	// gone: a row with this key that was there before has to be deleted.
	gone bool
	// insert is the plan of the row to insert, or update the plan of the
	// update to make; both nil when nothing is to be written.
	insert, update *plan
	// remove is the plan whose key finds the row that is gone.
	remove *plan
	// at is where the values begin in the arena: those of insert or update.
	at int
	// keyAt is where the values of a plan begin that has the key of gone.
	keyAt int
}

// add takes in one row. It returns false, having done nothing, when the row's
// effect cannot be folded into what is collected: then flush first and apply
// the row by itself.
func (n *net) add(p *plan, values []action.Value) bool {
	if p.shape.Op == action.Insert {
		return n.addInsert(p, values)
	}
	if p.key == nil || p.newKey != nil && !sameKey(p, values) || p.single() {
		return false
	}
	n.buildIndex()
	n.scratch = appendKey(n.scratch[:0], p.key, values)
	i, known := n.index[string(n.scratch)]
	n.rows++
	if p.shape.Op == action.Delete {
		return n.remove(p, values, i, known)
	}
	if !known {
		n.remember(n.scratch, change{update: p, at: n.keep(values)})
		return true
	}
	return n.merge(&n.changes[i], p, values)
}

func (n *net) addInsert(p *plan, values []action.Value) bool {
	if p.key == nil && len(n.table.key) > 0 {
		return false // the key has a default here that the source's row does not carry
	}
	n.rows++
	if n.index == nil {
		n.changes = append(n.changes, change{insert: p, at: n.keep(values)})
		return true
	}
	n.buildIndex()
	n.scratch = appendKey(n.scratch[:0], p.key, values)
	i, known := n.index[string(n.scratch)]
	if !known {
		n.remember(n.scratch, change{insert: p, at: n.keep(values)})
		return true
	}
	c := &n.changes[i]
	if c.insert != nil || c.update != nil {
		n.rows--
		return false // the source had no such row: let the server say so
	}
	c.insert, c.at = p, n.keep(values)
	return true
}

// remove folds a delete into what is known of the row.
func (n *net) remove(p *plan, values []action.Value, i int32, known bool) bool {
	if !known {
		at := n.keep(values)
		n.remember(n.scratch, change{gone: true, remove: p, at: at, keyAt: at})
		return true
	}
	c := &n.changes[i]
	if c.gone && c.insert == nil {
		n.rows--
		return false // a delete of a row that is gone: let the server say so
	}
	if c.insert == nil { // it was there before
		c.gone, c.remove, c.keyAt = true, p, n.keep(values)
	}
	c.insert, c.update = nil, nil
	return true
}

// merge folds an update into an insert or an update of the same row.
func (n *net) merge(c *change, p *plan, values []action.Value) bool {
	base := c.insert
	if base == nil {
		base = c.update
	}
	if base == nil {
		n.rows--
		return false // an update of a row that is gone: let the server say so
	}
	if base == p { // the common case: the same columns again
		copy(n.values[c.at:], values)
		return true
	}
	into := positions(p.shape.Set, base.shape.Set, len(base.shape.Key))
	if into == nil && len(p.shape.Set) > 0 {
		n.rows--
		return false
	}
	for i, at := range into {
		n.values[c.at+at] = values[len(p.shape.Key)+i]
	}
	return true
}

// keep copies the row into the arena.
func (n *net) keep(values []action.Value) int {
	at := len(n.values)
	n.values = append(n.values, values...)
	return at
}

func (n *net) remember(key []byte, c change) {
	n.index[string(key)] = int32(len(n.changes))
	n.changes = append(n.changes, c)
	n.indexed = len(n.changes)
}

// buildIndex makes the index when it is first needed: tables that only grow
// never need it.
func (n *net) buildIndex() {
	if n.index == nil {
		n.index = map[string]int32{}
	}
	for ; n.indexed < len(n.changes); n.indexed++ {
		c := &n.changes[n.indexed]
		n.scratch = appendKey(n.scratch[:0], c.insert.key, n.values[c.at:])
		n.index[string(n.scratch)] = int32(n.indexed)
	}
}

func (n *net) reset() {
	n.changes, n.values, n.indexed, n.rows = n.changes[:0], n.values[:0], 0, 0
	n.index = nil
}

// appendKey appends the key's values so that different keys differ. Values are
// JSON-escaped, so the quote is free as a separator.
func appendKey(b []byte, at []int, values []action.Value) []byte {
	for _, i := range at {
		b = append(b, values[i]...)
		b = append(b, '"')
	}
	return b
}

// sameKey tells whether an update that sets the key leaves it as it was.
func sameKey(p *plan, values []action.Value) bool {
	for i, at := range p.key {
		if string(values[at]) != string(values[p.newKey[i]]) {
			return false
		}
	}
	return true
}
