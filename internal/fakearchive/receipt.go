package fakearchive

import (
	"crypto/rand"
	"crypto/rsa"
	"sync"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// Two keys for the whole test process: making one is slow.
var (
	receiptKey = sync.OnceValue(newKey)
	otherKey   = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // no randomness: no test can run
	}
	return key
}

func receipt(t testing.TB, key *rsa.PrivateKey, id string, deadline int64) archive.Promise {
	p, err := archive.SignReceipt(key, archive.Promise{
		ID: id, Timestamp: time.Now().UnixMilli(), Version: "1.0.0", DeadlineHeight: deadline,
	})
	if err != nil {
		t.Errorf("sign receipt: %v", err)
	}
	return p
}
