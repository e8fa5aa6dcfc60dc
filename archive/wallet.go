package archive

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/everFinance/goar"
	"github.com/everFinance/goether"
)

// Wallet signs items and so pays for them. It is not the identity of a record.
// All methods may be called concurrently.
type Wallet interface {
	// SigType is the ANS-104 signature type of the items it signs.
	SigType() uint16
	// Owner is the public key in the form that items of this type carry.
	Owner() []byte
	// Sign signs the deep hash of an item.
	Sign(message []byte) ([]byte, error)
}

// KeyWallet makes the writer key the wallet: type 2, deterministic, the same
// record in the same tags is the same item.
func KeyWallet(key Key) Wallet { return keyWallet{key} }

type keyWallet struct{ key Key }

func (w keyWallet) SigType() uint16 { return SigEd25519 }
func (w keyWallet) String() string  { return w.key.String() }

func (w keyWallet) Owner() []byte {
	writer := w.key.Writer()
	return writer[:]
}

func (w keyWallet) Sign(message []byte) ([]byte, error) {
	if w.key.private == nil {
		return nil, errors.New("no writer key")
	}
	return w.key.sign(message), nil
}

// LoadWallet reads a wallet file: the JSON of an Arweave wallet, an Ethereum
// private key in hexadecimal, or a writer key. It refuses a file that every
// user of the machine can read, and its errors never quote the file.
func LoadWallet(file string) (Wallet, error) {
	text, err := ReadSecret("wallet file", file, "copy your wallet there, or leave it out to sign with the writer key")
	if err != nil {
		return nil, err
	}
	w, err := parseWallet(text)
	if err != nil {
		return nil, fmt.Errorf("wallet file %s: %w", file, err)
	}
	return w, nil
}

func parseWallet(text []byte) (Wallet, error) {
	text = bytes.TrimSpace(text)
	if bytes.HasPrefix(text, []byte("{")) {
		return parseArweave(text)
	}
	if digits := strings.TrimPrefix(string(text), "0x"); len(digits) == 64 {
		return parseEth(digits)
	}
	key, err := ParseKey(text)
	if err != nil {
		return nil, errors.New("neither the JSON of an Arweave wallet, nor 64 hexadecimal digits of an Ethereum key, nor a pgbridge key")
	}
	return KeyWallet(key), nil
}

// goarWallet signs through goar, which keeps the key.
type goarWallet struct {
	sigType uint16
	owner   []byte
	sign    func([]byte) ([]byte, error) // a func: whatever prints it shows an address
}

func (w goarWallet) SigType() uint16                     { return w.sigType }
func (w goarWallet) Owner() []byte                       { return w.owner }
func (w goarWallet) Sign(message []byte) ([]byte, error) { return w.sign(message) }
func (w goarWallet) String() string                      { return "wallet " + NativeAddress(w.sigType, w.owner) }

func parseEth(digits string) (Wallet, error) {
	signer, err := goether.NewSigner(digits)
	if err != nil {
		return nil, errors.New("the Ethereum key is damaged: not 64 hexadecimal digits, or not a key of the curve")
	}
	return goarWallet{SigEthereum, signer.GetPublicKey(), signer.SignMsg}, nil
}

// parseArweave reads a JSON Web Key with its primes: goar's own reader leaves
// them out, and without them a signature takes 87 ms, not 5.
func parseArweave(text []byte) (Wallet, error) {
	damaged := errors.New("the Arweave wallet is damaged: not an RSA-4096 private key as a JSON Web Key")
	var j struct{ Kty, N, E, D, P, Q string }
	if json.Unmarshal(text, &j) != nil || j.Kty != "RSA" {
		return nil, damaged
	}
	var numbers [5]*big.Int
	for i, s := range []string{j.N, j.E, j.D, j.P, j.Q} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			return nil, damaged
		}
		numbers[i] = new(big.Int).SetBytes(b)
	}
	n, e, d, p, q := numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
	if n.BitLen() != 8*rsaSize || !e.IsInt64() || e.Int64() != 65537 {
		return nil, damaged
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
	if key.Validate() != nil {
		return nil, damaged
	}
	key.Precompute()
	return goarWallet{SigArweave, n.Bytes(), goar.NewSignerByPrivateKey(key).SignMsg}, nil
}
