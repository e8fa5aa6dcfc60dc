package archive

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// The signature types of ANS-104 that this package knows.
const (
	SigArweave  uint16 = 1 // RSA-4096, PSS with SHA-256
	SigEd25519  uint16 = 2
	SigEthereum uint16 = 3 // secp256k1 over the EIP-191 hash
	SigSolana   uint16 = 4 // ed25519 again
)

// MaxItem bounds an item, in bytes: the largest record and its wrapper.
const MaxItem = MaxRecord + 64<<10

// Item is an ANS-104 data item whose signature has been checked, or that was
// just signed. Its slices are parts of Bytes.
type Item struct {
	ID      string // base64url of the SHA-256 of the signature
	SigType uint16
	Owner   []byte // public key, its form depends on SigType
	Target  []byte // 32 bytes, or nil
	Anchor  []byte // 32 bytes, or nil
	Tags    []Tag
	Data    []byte
	Bytes   []byte // the item as stored
}

// Address is the Arweave address of the owner, whatever the type of its key:
// what gateways index items by.
func (i *Item) Address() string { return Address(i.Owner) }

// NativeAddress is the address of the owner on its own chain: what bundlers
// keep accounts by.
func (i *Item) NativeAddress() string { return NativeAddress(i.SigType, i.Owner) }

// Address is the Arweave address of a public key.
func Address(owner []byte) string {
	sum := sha256.Sum256(owner)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// NativeAddress is the address of a public key on its own chain: 0x… with the
// mixed case of EIP-55 for Ethereum, else the Arweave address.
func NativeAddress(sigType uint16, owner []byte) string {
	if sigType == SigEthereum && len(owner) == ethOwnerSize {
		return ethAddress(owner)
	}
	return Address(owner)
}

// ValidID tells whether s has the form of an item id: 32 bytes in base64url.
// An id from an index goes into file names and URLs, so ask first.
func ValidID(s string) bool {
	if len(s) != 43 {
		return false
	}
	_, err := decodeBase64(s)
	return err == nil
}

// decodeBase64 reads base64url in its one canonical form.
func decodeBase64(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err == nil && base64.RawURLEncoding.EncodedLen(len(b)) != len(s) {
		return nil, errors.New("line breaks in base64url") // which the decoder skips
	}
	return b, err
}

// ParseItem reads an item that came from outside and checks its signature. It
// takes fewer forms than the deployed readers do (docs/wire.md, section 6):
// whatever it accepts has exactly one encoding, and every reader takes it. raw
// is kept, not copied, and nothing larger than the tags is allocated.
//
// The ID is no identity: the owner of an RSA key can sign the same content
// under many ids.
func ParseItem(raw []byte) (Item, error) {
	l, err := splitItem(raw)
	if err != nil {
		return Item{}, fmt.Errorf("parse item: %w", err)
	}
	if err := verify(l.SigType, l.Owner, l.message(), l.signature); err != nil {
		return Item{}, fmt.Errorf("item %s: %w", l.ID, err)
	}
	return l.Item, nil
}

// layout is an item in parts, of which nothing but the form has been checked.
type layout struct {
	Item
	signature []byte
	tagBytes  []byte
}

// message is what the signature is over. The deployed form: the standard's own
// text leaves out the type and nests the tags.
func (l *layout) message() []byte {
	sum := deepHash([]byte("dataitem"), []byte("1"), strconv.AppendUint(nil, uint64(l.SigType), 10),
		l.Owner, l.Target, l.Anchor, l.tagBytes, l.Data)
	return sum[:]
}

// keySizes are the bytes of a signature and of an owner.
func keySizes(sigType uint16) (signature, owner int, err error) {
	switch sigType {
	case SigArweave:
		return rsaSize, rsaSize, nil
	case SigEd25519, SigSolana:
		return 64, 32, nil
	case SigEthereum:
		return ethSignatureSize, ethOwnerSize, nil
	}
	return 0, 0, fmt.Errorf("signature type %d is not supported (1 to 4 are)", sigType)
}

func splitItem(raw []byte) (l layout, err error) {
	if len(raw) > MaxItem {
		return l, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), MaxItem)
	}
	c := cursor{rest: raw}
	l.Bytes, l.SigType = raw, c.uint16()
	if c.short {
		return l, errShort
	}
	sigSize, ownerSize, err := keySizes(l.SigType)
	if err != nil {
		return l, err
	}
	l.signature, l.Owner = c.take(sigSize), c.take(ownerSize)
	if l.Target, err = c.optional(); err != nil {
		return l, fmt.Errorf("target: %w", err)
	}
	if l.Anchor, err = c.optional(); err != nil {
		return l, fmt.Errorf("anchor: %w", err)
	}
	count, size := c.uint64(), c.uint64()
	switch {
	case c.short:
		return l, errShort
	case size > maxTagBytes:
		return l, fmt.Errorf("%d bytes of tags, at most %d are allowed", size, maxTagBytes)
	case count > maxTags:
		return l, fmt.Errorf("%d tags, at most %d are allowed", count, maxTags)
	}
	if l.tagBytes = c.take(int(size)); c.short {
		return l, errShort
	}
	if l.Tags, err = parseTags(l.tagBytes, int(count)); err != nil {
		return l, fmt.Errorf("tags: %w", err)
	}
	l.Data, l.ID = c.rest, Address(l.signature)
	return l, nil
}

var errShort = errors.New("cut short")

// cursor takes bytes off the front. Once there were too few it is short, and
// yields nothing but zeros.
type cursor struct {
	rest  []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if c.short || n > len(c.rest) {
		c.short = true
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if b := c.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// optional takes a presence byte, and 32 bytes if it is 1.
func (c *cursor) optional() ([]byte, error) {
	b := c.take(1)
	switch {
	case b == nil:
		return nil, errShort
	case b[0] == 0:
		return nil, nil
	case b[0] != 1:
		return nil, fmt.Errorf("presence byte %d, 0 or 1 is allowed", b[0])
	}
	if b = c.take(32); b == nil {
		return nil, errShort
	}
	return b, nil
}

// SignItem makes an item without target and anchor. data is copied once. The
// result was checked as ParseItem checks it, unless the wallet is a KeyWallet.
func SignItem(w Wallet, tags []Tag, data []byte) (Item, error) {
	sigSize, ownerSize, err := keySizes(w.SigType())
	if err != nil {
		return Item{}, fmt.Errorf("sign item: %w", err)
	}
	l := layout{Item: Item{SigType: w.SigType(), Owner: w.Owner(), Tags: tags, Data: data}}
	if len(l.Owner) != ownerSize {
		return Item{}, fmt.Errorf("sign item: an owner of %d bytes, type %d has %d", len(l.Owner), l.SigType, ownerSize)
	}
	if l.tagBytes, err = appendTags(nil, tags); err != nil {
		return Item{}, fmt.Errorf("sign item: tags: %w", err)
	}
	if l.signature, err = w.Sign(l.message()); err != nil {
		return Item{}, fmt.Errorf("sign item: %w", err)
	}
	if len(l.signature) != sigSize {
		return Item{}, fmt.Errorf("sign item: a signature of %d bytes, type %d has %d", len(l.signature), l.SigType, sigSize)
	}
	raw := l.encode()
	if _, own := w.(keyWallet); !own {
		return ParseItem(raw)
	}
	if l, err = splitItem(raw); err != nil {
		return Item{}, fmt.Errorf("sign item: %w", err)
	}
	return l.Item, nil
}

// encode writes the item.
func (l *layout) encode() []byte {
	out := make([]byte, 0, 2+len(l.signature)+len(l.Owner)+2+len(l.Target)+len(l.Anchor)+16+len(l.tagBytes)+len(l.Data))
	out = binary.LittleEndian.AppendUint16(out, l.SigType)
	out = append(out, l.signature...)
	out = append(out, l.Owner...)
	for _, optional := range [...][]byte{l.Target, l.Anchor} {
		if len(optional) == 0 {
			out = append(out, 0)
		} else {
			out = append(append(out, 1), optional...)
		}
	}
	out = binary.LittleEndian.AppendUint64(out, uint64(len(l.Tags)))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(l.tagBytes)))
	out = append(out, l.tagBytes...)
	return append(out, l.Data...)
}
