package archive

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"filippo.io/edwards25519"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"golang.org/x/crypto/sha3"
)

const (
	rsaSize          = 512 // bytes of an RSA-4096 modulus and signature
	ethSignatureSize = 65  // r, s, v
	ethOwnerSize     = 65  // 4, x, y
)

var errSignature = errors.New("the signature is not that of the owner")

// verify checks the signature of an item. owner and signature have the sizes
// of their type.
func verify(sigType uint16, owner, message, signature []byte) error {
	switch sigType {
	case SigArweave:
		return verifyRSA(owner, message, signature)
	case SigEd25519, SigSolana:
		return verifyEd25519(owner, message, signature)
	case SigEthereum:
		return verifyEth(owner, message, signature)
	}
	return fmt.Errorf("signature type %d is not supported", sigType)
}

// verifyRSA takes any length of salt: producers differ.
func verifyRSA(modulus, message, signature []byte) error {
	key := rsa.PublicKey{N: new(big.Int).SetBytes(modulus), E: 65537}
	if key.N.BitLen() != 8*len(modulus) || key.N.Bit(0) == 0 {
		return errors.New("the owner is no RSA key: the modulus is too small or even")
	}
	hashed := sha256.Sum256(message)
	options := rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: crypto.SHA256}
	if rsa.VerifyPSS(&key, crypto.SHA256, hashed[:], signature, &options) != nil {
		return errSignature
	}
	return nil
}

func verifyEd25519(owner, message, signature []byte) error {
	if err := checkEd25519(owner); err != nil {
		return err
	}
	if !ed25519.Verify(owner, message, signature) {
		return errSignature
	}
	return nil
}

// checkEd25519 refuses the public keys that bind nothing: under a point of
// small order one signature holds for any message. And it refuses the second
// encodings that a few points have, so that one key has one name.
func checkEd25519(public []byte) error {
	point, err := new(edwards25519.Point).SetBytes(public)
	if err != nil {
		return errors.New("the owner is no ed25519 key: not a point of the curve")
	}
	if !bytes.Equal(point.Bytes(), public) {
		return errors.New("the owner is no ed25519 key: not in canonical form")
	}
	if new(edwards25519.Point).MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("the owner is no ed25519 key: a point of small order, under which anything is signed")
	}
	return nil
}

// verifyEth takes the one of the four encodings of a signature that wallets
// make: anyone can turn it into the others, which have other item ids.
func verifyEth(owner, message, signature []byte) error {
	var s secp256k1.ModNScalar
	if overflow := s.SetByteSlice(signature[32:64]); overflow || s.IsOverHalfOrder() {
		return errors.New("the signature is a twin of the owner's: s is not in the lower half")
	}
	v := signature[64]
	if v != 27 && v != 28 {
		return fmt.Errorf("the signature is a twin of the owner's: v is %d, 27 or 28 are allowed", v)
	}
	compact := append([]byte{v}, signature[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, ethHash(message))
	if err != nil || !bytes.Equal(key.SerializeUncompressed(), owner) {
		return errSignature
	}
	return nil
}

// ethHash is the EIP-191 hash of a text message.
func ethHash(message []byte) []byte {
	prefix := strconv.AppendInt([]byte("\x19Ethereum Signed Message:\n"), int64(len(message)), 10)
	return keccak(prefix, message)
}

func keccak(parts ...[]byte) []byte {
	h := sha3.NewLegacyKeccak256()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// ethAddress is the address of an uncompressed public key, in the mixed case
// of EIP-55: a letter is upper case where the hash of the address says so.
func ethAddress(owner []byte) string {
	address := fmt.Appendf(nil, "%x", keccak(owner[1:])[12:])
	for i, b := range fmt.Appendf(nil, "%x", keccak(address)) {
		if i < len(address) && b >= '8' && address[i] >= 'a' {
			address[i] -= 'a' - 'A'
		}
	}
	return "0x" + string(address)
}
