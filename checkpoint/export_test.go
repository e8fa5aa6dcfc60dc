package checkpoint

import "testing"

// DivideTables makes several sessions read a table in ranges of so many blocks,
// until t ends.
func DivideTables(t *testing.T, blocks int64) {
	before := spanBlocks
	spanBlocks = blocks
	t.Cleanup(func() { spanBlocks = before })
}
