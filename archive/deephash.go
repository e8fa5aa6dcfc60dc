package archive

import (
	"crypto/sha512"
	"strconv"
)

// deepHash is Arweave's hash of a list of byte strings, SHA-384 throughout: a
// string hashes as H(H("blob" + length) || H(bytes)), and a list folds its
// elements into H("list" + count). No list here holds another list.
func deepHash(blobs ...[]byte) [sha512.Size384]byte {
	acc := sha512.Sum384(strconv.AppendInt([]byte("list"), int64(len(blobs)), 10))
	var pair [2 * sha512.Size384]byte
	for _, blob := range blobs {
		tag := sha512.Sum384(strconv.AppendInt([]byte("blob"), int64(len(blob)), 10))
		data := sha512.Sum384(blob)
		copy(pair[:], tag[:])
		copy(pair[sha512.Size384:], data[:])
		element := sha512.Sum384(pair[:])
		copy(pair[:], acc[:])
		copy(pair[sha512.Size384:], element[:])
		acc = sha512.Sum384(pair[:])
	}
	return acc
}
