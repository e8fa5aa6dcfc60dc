package archive

import (
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

func TestMomentPassed(t *testing.T) {
	t.Parallel()
	w := action.Writer{1}
	after := func(epoch uint32, seq uint64, tx int) Moment {
		return Moment{Place: Place{Writer: w, Epoch: epoch, Seq: seq, Tx: tx}}
	}
	for _, c := range []struct {
		name   string
		moment Moment
		at     int // the transaction, in record 7 of epoch 2
		tx     action.Tx
		want   bool
	}{
		{"the end of the chain", Moment{}, 3, action.Tx{Part: 1, LSN: 1 << 40, At: 1 << 40}, false},
		{"time: at it", Moment{Time: time.UnixMicro(100)}, 0, action.Tx{Part: 1, At: 100}, false},
		{"time: after it", Moment{Time: time.UnixMicro(100)}, 0, action.Tx{Part: 1, At: 101}, true},
		{"time: a part after it", Moment{Time: time.UnixMicro(100)}, 0, action.Tx{Part: 2, At: 101}, false},
		{"position: before it", Moment{Before: 16}, 0, action.Tx{Part: 1, LSN: 15}, false},
		{"position: at it", Moment{Before: 16}, 0, action.Tx{Part: 1, LSN: 16}, true},
		{"position: a part after it", Moment{Before: 16}, 0, action.Tx{Part: 2, LSN: 17}, false},
		{"record: the last of it", after(2, 7, WholeRecord), 9, action.Tx{Part: 1}, false},
		{"record: the one after", after(2, 6, WholeRecord), 0, action.Tx{Part: 1}, true},
		{"record: one before", after(2, 8, 0), 1, action.Tx{Part: 1}, false},
		{"record: an epoch before", after(3, 1, 0), 1, action.Tx{Part: 1}, false},
		{"record: an epoch after", after(1, 9, 9), 0, action.Tx{Part: 1}, true},
		{"transaction: it", after(2, 7, 1), 1, action.Tx{Part: 1}, false},
		{"transaction: the one after", after(2, 7, 1), 2, action.Tx{Part: 1}, true},
		{"another writer's", Moment{Place: Place{Writer: action.Writer{2}, Epoch: 1, Seq: 1}}, 2, action.Tx{Part: 1}, false},
		{"the first of two", Moment{Time: time.UnixMicro(100), Before: 16}, 0, action.Tx{Part: 1, At: 50, LSN: 20}, true},
	} {
		if got := c.moment.Passed(Place{Writer: w, Epoch: 2, Seq: 7, Tx: c.at}, c.tx); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}
