package kwil

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/sha3"
)

// Address is that of an Ethereum key.
type Address [20]byte

// ParseAddress reads 0x and 40 hexadecimal digits. In mixed case the case is a
// checksum (EIP-55) and must be right.
func ParseAddress(s string) (a Address, err error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok || len(digits) != 2*len(a) {
		return a, fmt.Errorf("address %.50q: want 0x and 40 hexadecimal digits", s)
	}
	if _, err := hex.Decode(a[:], []byte(digits)); err != nil {
		return a, fmt.Errorf("address %.50q: want 0x and 40 hexadecimal digits", s)
	}
	if digits != strings.ToLower(digits) && digits != strings.ToUpper(digits) && s != a.String() {
		return Address{}, errors.New("address " + s + ": its checksum is wrong, there is a typing error in it")
	}
	return a, nil
}

// String is the address in the mixed case of EIP-55.
func (a Address) String() string {
	text := hex.AppendEncode(nil, a[:])
	h := sha3.NewLegacyKeccak256()
	h.Write(text)
	for i, b := range hex.AppendEncode(nil, h.Sum(nil))[:len(text)] {
		if b >= '8' && text[i] >= 'a' {
			text[i] -= 'a' - 'A'
		}
	}
	return "0x" + string(text)
}

// MarshalText makes the String form the JSON form.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
