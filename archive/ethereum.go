package archive

import (
	"errors"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
)

// RecoverEthereum returns the address (0x…, in the mixed case of EIP-55) of the
// key that signed message as a text by EIP-191, which is what a wallet's
// signMessage does. signature is r, s and v, in the one of its encodings that
// wallets make. Any well-formed signature was made by some key: whether it is
// the right one is the caller's to judge.
func RecoverEthereum(message, signature []byte) (string, error) {
	if len(signature) != ethSignatureSize {
		return "", errors.New("an Ethereum signature has 65 bytes")
	}
	compact := append([]byte{signature[64]}, signature[:64]...)
	key, _, err := ecdsa.RecoverCompact(compact, ethHash(message))
	if err != nil {
		return "", errors.New("not a signature of any key")
	}
	owner := key.SerializeUncompressed()
	if err := verifyEth(owner, message, signature); err != nil {
		return "", err
	}
	return ethAddress(owner), nil
}
