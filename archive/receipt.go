package archive

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Promise is what a bundler (Bundlr, Irys, Turbo, pgbridge's node) signs for an
// item it took: the item will be in a block of height DeadlineHeight at the
// latest. What else a receipt says (price, owner, caches) is not signed.
type Promise struct {
	ID             string `json:"id"`
	Timestamp      int64  `json:"timestamp"` // milliseconds since 1970 UTC
	Version        string `json:"version"`
	DeadlineHeight int64  `json:"deadlineHeight"`
	Public         string `json:"public"` // RSA modulus, base64url
	Signature      string `json:"signature"`
}

const maxReceipt = 64 << 10

// VerifyReceipt reads a receipt and checks that it is for the item id and
// signed by a bundler whose address is pinned. The key is in the receipt
// itself, so without a pinned address a receipt proves nothing, and is refused.
// Whether timestamp and height are believable is the caller's to judge.
func VerifyReceipt(raw []byte, id string, pinned []string) (Promise, error) {
	var p Promise
	if len(raw) > maxReceipt {
		return Promise{}, fmt.Errorf("receipt of %s: %d bytes, at most %d are allowed", id, len(raw), maxReceipt)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return Promise{}, fmt.Errorf("receipt of %s: %w", id, err)
	}
	if err := p.verify(id, pinned); err != nil {
		return Promise{}, fmt.Errorf("receipt of %s: %w", id, err)
	}
	return p, nil
}

func (p *Promise) verify(id string, pinned []string) error {
	switch {
	case p.ID != id:
		return fmt.Errorf("it is for %.50q", p.ID)
	case p.Timestamp <= 0 || p.DeadlineHeight < 0:
		return fmt.Errorf("timestamp %d, deadline height %d are out of bounds", p.Timestamp, p.DeadlineHeight)
	}
	modulus, err := decodeBase64(p.Public)
	if err != nil || len(modulus) < minReceiptKey || len(modulus) > rsaSize {
		return errors.New("its key is not an RSA modulus in base64url")
	}
	if address := Address(modulus); !slices.Contains(pinned, address) {
		return fmt.Errorf("it is signed by %s, which is not a pinned bundler", address)
	}
	signature, err := decodeBase64(p.Signature)
	if err != nil || len(signature) != len(modulus) {
		return errors.New("its signature is not base64url of the length of the key")
	}
	if verifyRSA(modulus, p.message(), signature) != nil {
		return errors.New("the signature is not that of the bundler")
	}
	return nil
}

// message is what the signature is over.
func (p *Promise) message() []byte {
	sum := deepHash([]byte("Bundlr"), []byte(p.Version), []byte(p.ID),
		strconv.AppendInt(nil, p.DeadlineHeight, 10), strconv.AppendInt(nil, p.Timestamp, 10))
	return sum[:]
}

// minReceiptKey is the least RSA-2048, in bytes: bundlers use 4096.
const minReceiptKey = 256

// SignReceipt signs a promise of pgbridge's node: it fills Public and
// Signature. The salt has the length of the hash, which every client takes
// (Bundlr and Turbo leave it out, browsers try only none, 32 and the longest).
func SignReceipt(key *rsa.PrivateKey, p Promise) (Promise, error) {
	if key.E != 65537 || key.Size() < minReceiptKey || key.Size() > rsaSize {
		return Promise{}, fmt.Errorf("sign receipt: a key of %d bits with exponent %d, RSA-2048 to RSA-4096 with 65537 is needed", key.N.BitLen(), key.E)
	}
	hashed := sha256.Sum256(p.message())
	options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, hashed[:], &options)
	if err != nil {
		return Promise{}, fmt.Errorf("sign receipt: %w", err)
	}
	p.Public = base64.RawURLEncoding.EncodeToString(key.N.Bytes())
	p.Signature = base64.RawURLEncoding.EncodeToString(signature)
	return p, nil
}
