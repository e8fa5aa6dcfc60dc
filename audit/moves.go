package audit

import "slices"

// span is a key that the row had between two changes of its table.
type span struct {
	key         string
	from, until int
}

// move is a change of a row's key.
type move struct {
	at       int
	old, new string
}

// earlier finds the keys that the row had before it got the one that it is asked
// for by.
func earlier(moves []move, key string) (spans []span) {
	open := map[string]int{} // key → until when the row had it
	for _, m := range slices.Backward(moves) {
		until, follows := open[m.new]
		if follows {
			delete(open, m.new)
			spans = append(spans, span{m.new, m.at, until})
		}
		if (follows || m.new == key) && m.old != key {
			if until, again := open[m.old]; again {
				spans = append(spans, span{m.old, m.at, until})
			}
			open[m.old] = m.at
		}
	}
	for old, until := range open {
		spans = append(spans, span{old, 0, until})
	}
	return spans
}
