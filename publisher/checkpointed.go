package publisher

import (
	"encoding/json"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

// checkpointed is the payload of a mark: a checkpoint that this writer has made.
type checkpointed struct{ number, digest string }

func (c *checkpointed) UnmarshalJSON(b []byte) error { return unmarshalArray(b, &c.number, &c.digest) }

var checkpointShape = action.NewMark()

// noteCheckpoint remembers a checkpoint for the commit.
func (b *builder) noteCheckpoint(payload []byte) error {
	var c checkpointed
	if err := json.Unmarshal(payload, &c); err != nil {
		return fmt.Errorf("mark of a checkpoint: %w", err)
	}
	b.checkpoints = append(b.checkpoints, c)
	return nil
}

// writeCheckpoints names the checkpoints of the transaction. All sequences are
// published again after it: a reader that begins with the checkpoint passes over
// what was published of them before.
func (b *builder) writeCheckpoints() {
	for _, c := range b.checkpoints {
		if b.change() {
			b.note(checkpointShape)
			b.body.Row(checkpointShape, [][]byte{[]byte(c.number), []byte(c.digest)})
			b.restart = true
		}
	}
}
