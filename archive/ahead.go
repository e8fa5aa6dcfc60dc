package archive

import "iter"

// near is how many windows after the end of a chain are looked at one by one.
// Further ahead it is one window after twice as many, up to farthest numbers.
const (
	near     = 20
	farthest = 1_000_000
)

// Ahead yields how many numbers after the end of a chain the windows begin that
// are to be looked at for later records: those of a hole that is wider than a
// window, which would look like the end.
func Ahead() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for n := uint64(1); n*MaxWindow <= farthest; n += max(1, n/near*near) {
			if !yield(n * MaxWindow) {
				return
			}
		}
	}
}
