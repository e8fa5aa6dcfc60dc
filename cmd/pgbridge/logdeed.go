package main

import (
	"slices"

	"github.com/pgbridge/pgbridge/action"
)

// deed is one line of the log: a row, a truncate, or a call with its effect.
type deed struct {
	shape  *action.Shape
	values []action.Value
	effect []deed // of a call: rows and truncates
}

// rows calls do for the change of each row in d, until it says that it is done.
func (d *deed) rows(do func(*deed) bool) bool {
	if d.shape.Op != action.Call {
		return do(d)
	}
	return slices.ContainsFunc(d.effect, func(e deed) bool { return do(&e) })
}

// deeds calls do for the deeds of the reader's transaction, until it returns
// true. Values are valid until the next.
func deeds(r *action.Reader, do func(*deed) bool) {
	for more := r.Action(); more; {
		s := r.Shape()
		if s.Op == action.Call {
			call := deed{shape: s, values: slices.Clone(r.Values())}
			for more = r.Action(); more && r.InCall(); more = r.Action() {
				each(r, func(d *deed) bool {
					call.effect = append(call.effect, deed{shape: d.shape, values: slices.Clone(d.values)})
					return false
				})
			}
			if r.Err() != nil || do(&call) {
				return
			}
			continue
		}
		if each(r, do) {
			return
		}
		more = r.Action()
	}
}

// each calls do for the rows of the reader's action, or for its truncate or clear.
func each(r *action.Reader, do func(*deed) bool) bool {
	if op := r.Shape().Op; op == action.Truncate || op == action.Clear {
		return do(&deed{shape: r.Shape()})
	}
	for r.Row() {
		if do(&deed{shape: r.Shape(), values: r.Values()}) {
			return true
		}
	}
	return false
}
