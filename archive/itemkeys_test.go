package archive

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"os"
	"strings"
	"testing"

	goarutils "github.com/everFinance/goar/utils"
)

func TestParseItemRefusesWeakEd25519Owners(t *testing.T) {
	// The points of order 1, 2, 4 and 8, then second encodings of some.
	owners := []string{
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
		"0100000000000000000000000000000000000000000000000000000000000080",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // y = 3 + p, of large order
	}
	for _, sigType := range []uint16{SigEd25519, SigSolana} {
		for _, owner := range owners {
			p := partsOf(t, nil, "any data")
			p.sigType = sigType
			p.owner, _ = hex.DecodeString(owner)
			p.signature = append([]byte{1}, make([]byte, 63)...) // R the identity, s = 0
			_, err := ParseItem(p.bytes())
			checkRefusal(t, err, "no ed25519 key")
		}
	}
	// The attack: this signature holds for every message as far as the
	// standard library is concerned.
	p := partsOf(t, nil, "any data")
	p.owner, _ = hex.DecodeString(owners[0])
	if !ed25519.Verify(p.owner, p.message(), append([]byte{1}, make([]byte, 63)...)) {
		t.Error("the vector does not show what it should: the forged signature is refused without our check")
	}
}

func TestParseItemRefusesWeakRSAOwners(t *testing.T) {
	raw, err := os.ReadFile("testdata/arbundles-arweave.item")
	if err != nil {
		t.Fatal(err)
	}
	number := func(n *big.Int) []byte { return n.FillBytes(make([]byte, rsaSize)) }
	modulus := new(big.Int).SetBytes(raw[2+rsaSize : 2+2*rsaSize])
	tests := []struct {
		name  string
		owner []byte
		want  string
	}{
		{"zero", number(big.NewInt(0)), "no RSA key"},
		{"one", number(big.NewInt(1)), "no RSA key"},
		{"even", number(new(big.Int).Sub(modulus, big.NewInt(1))), "no RSA key"},
		{"small", number(big.NewInt(3233)), "no RSA key"},
		{"half as long", number(new(big.Int).SetBit(new(big.Int).Rsh(modulus, 2048), 0, 1)), "no RSA key"},
		{"a bit too short", number(new(big.Int).SetBit(new(big.Int).Rsh(modulus, 1), 0, 1)), "no RSA key"},
		{"all ones", bytes.Repeat([]byte{255}, rsaSize), "not that of the owner"},
		{"another", number(new(big.Int).Sub(modulus, big.NewInt(2))), "not that of the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := bytes.Clone(raw)
			copy(changed[2+rsaSize:], test.owner)
			_, err := ParseItem(changed)
			checkRefusal(t, err, test.want)
		})
	}
	t.Run("signature plus modulus", func(t *testing.T) {
		changed := bytes.Clone(raw)
		twin := new(big.Int).Add(modulus, new(big.Int).SetBytes(raw[2:2+rsaSize]))
		if twin.BitLen() > 8*rsaSize {
			twin.SetBytes(bytes.Repeat([]byte{255}, rsaSize))
		}
		copy(changed[2:], number(twin))
		if _, err := ParseItem(changed); err == nil {
			t.Error("got no error, want one")
		}
	})
}

func TestParseItemRefusesEthereumTwins(t *testing.T) {
	raw, err := os.ReadFile("testdata/arbundles-ethereum.item")
	if err != nil {
		t.Fatal(err)
	}
	order, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	tests := []struct {
		name   string
		change func(signature []byte)
		want   string
	}{
		{"as made", func([]byte) {}, ""},
		{"v from 0", func(s []byte) { s[64] -= 27 }, "v is"},
		{"v of EIP-155", func(s []byte) { s[64] += 10 }, "v is"},
		{"the other v", func(s []byte) { s[64] ^= 27 ^ 28 }, "not that of the owner"},
		{"high s", func(s []byte) {
			high := new(big.Int).Sub(order, new(big.Int).SetBytes(s[32:64]))
			high.FillBytes(s[32:64])
			s[64] ^= 27 ^ 28
		}, "lower half"},
		{"s over the order", func(s []byte) { copy(s[32:64], bytes.Repeat([]byte{255}, 32)) }, "lower half"},
		{"s zero", func(s []byte) { clear(s[32:64]) }, "not that of the owner"},
		{"r zero", func(s []byte) { clear(s[:32]) }, "not that of the owner"},
		{"r over the order", func(s []byte) { copy(s[:32], bytes.Repeat([]byte{255}, 32)) }, "not that of the owner"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			changed := bytes.Clone(raw)
			test.change(changed[2 : 2+ethSignatureSize])
			_, err := ParseItem(changed)
			checkRefusal(t, err, test.want)
		})
	}
}

func TestAddresses(t *testing.T) {
	// Key 1, the generator: its address is known everywhere.
	w, err := parseWallet([]byte("0x" + strings.Repeat("0", 63) + "1"))
	if err != nil {
		t.Fatal(err)
	}
	item, err := SignItem(w, nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := item.NativeAddress(), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"; got != want {
		t.Errorf("native address: got %s, want %s", got, want)
	}
	if got, want := item.Address(), goarAddress(item.Owner); got != want {
		t.Errorf("address: got %s, want %s", got, want)
	}
	own, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), nil, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := own.NativeAddress(), own.Address(); got != want {
		t.Errorf("native address of an ed25519 owner: got %s, want %s", got, want)
	}
}

func goarAddress(owner []byte) string {
	address, _ := goarutils.OwnerToAddress(base64.RawURLEncoding.EncodeToString(owner))
	return address
}

func TestValidID(t *testing.T) {
	good := Address([]byte("x"))
	tests := map[string]bool{
		good:                         true,
		"":                           false,
		good[:42]:                    false,
		good + "A":                   false,
		good[:42] + "B":              false, // bits that say nothing are set
		"../" + good[3:]:             false,
		good[:42] + "\n":             false,
		good[:20] + "\n" + good[21:]: false,
		good[:42] + "=":              false,
		good[:42] + "+":              false,
	}
	for id, want := range tests {
		if got := ValidID(id); got != want {
			t.Errorf("%q: got %t, want %t", id, got, want)
		}
	}
}
