package node

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"github.com/pgbridge/pgbridge/archive"
)

// The kinds of words.
const (
	wordTag       = "tag"
	wordID        = "id"
	wordOwner     = "owner"
	wordRecipient = "recipient"
	wordRecord    = "record"
)

// recordTags name one record together. Each alone has many items, so there is
// a word for the four.
var recordTags = [...]string{"DB-ID", "Writer", "Epoch", "Seq"}

// words are all that the item can be found by.
func (e *entry) words() []int64 {
	words := []int64{
		word(wordID, e.id),
		word(wordOwner, archive.Address(e.owner)),
	}
	if native := archive.NativeAddress(e.sigType, e.owner); native != archive.Address(e.owner) {
		words = append(words, word(wordOwner, native))
	}
	if e.target != nil {
		words = append(words, word(wordRecipient, base64.RawURLEncoding.EncodeToString(e.target)))
	}
	for _, tag := range e.tags {
		words = append(words, word(wordTag, tag.Name, tag.Value))
	}
	if ref, err := archive.ParseRef(e.id, e.tags); err == nil {
		words = append(words, recordWord(ref.DB.String(), ref.Writer.String(), strconv.FormatUint(uint64(ref.Epoch), 10), strconv.FormatUint(ref.Seq, 10)))
	}
	return words
}

func recordWord(db, writer, epoch, seq string) int64 {
	return word(wordRecord, db, writer, epoch, seq)
}

// word is the hash that something is found by.
func word(kind string, parts ...string) int64 {
	h := sha256.New()
	var size [8]byte
	for _, part := range append([]string{kind}, parts...) {
		binary.LittleEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return int64(binary.LittleEndian.Uint64(h.Sum(nil)))
}
