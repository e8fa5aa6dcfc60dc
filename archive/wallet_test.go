package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/everFinance/goar"
	goartypes "github.com/everFinance/goar/types"
	"github.com/everFinance/goether"
)

// The key of an Ethereum wallet that holds nothing, and of an Arweave wallet
// (testdata/test-wallet.json) likewise.
const ethKey = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"

func arweaveKey(t testing.TB) string {
	t.Helper()
	return string(mustRead(t, "testdata/test-wallet.json"))
}

func loadWallet(t *testing.T, text string) Wallet {
	t.Helper()
	w, err := LoadWallet(secretFile(t, text, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWalletsSignWhatEveryReaderTakes(t *testing.T) {
	tests := []struct {
		name, text    string
		sigType       uint16
		deterministic bool
	}{
		{"Arweave", arweaveKey(t), SigArweave, false},
		{"Ethereum", ethKey + "\n", SigEthereum, true},
		{"Ethereum with 0x", "0x" + ethKey, SigEthereum, true},
		{"writer key", string(KeyFromSeed(itemSeed).Encode()), SigEd25519, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := loadWallet(t, test.text)
			if w.SigType() != test.sigType {
				t.Fatalf("got type %d, want %d", w.SigType(), test.sigType)
			}
			item, err := SignItem(w, twoTags(), []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			checkGoar(t, item)
			parsed, err := ParseItem(item.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.ID != item.ID || !bytes.Equal(parsed.Data, []byte("data")) {
				t.Errorf("got %s %q, want %s %q", parsed.ID, parsed.Data, item.ID, "data")
			}
			again, err := SignItem(w, twoTags(), []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			if same := bytes.Equal(again.Bytes, item.Bytes); same != test.deterministic {
				t.Errorf("signed twice: got the same bytes %t, want %t", same, test.deterministic)
			}
		})
	}
}

func TestParseItemOfGoar(t *testing.T) {
	rsaSigner, err := goar.NewSigner([]byte(arweaveKey(t)))
	if err != nil {
		t.Fatal(err)
	}
	ethSigner, err := goether.NewSigner(ethKey)
	if err != nil {
		t.Fatal(err)
	}
	id := Address([]byte("x"))
	for name, signer := range map[string]any{"Arweave": rsaSigner, "Ethereum": ethSigner} {
		t.Run(name, func(t *testing.T) {
			maker, err := goar.NewItemSigner(signer)
			if err != nil {
				t.Fatal(err)
			}
			for _, tags := range [][]goartypes.Tag{nil, {{Name: "App-Name", Value: "goar"}, {Name: "ü", Value: "日本"}}} {
				for _, where := range []string{"", id} {
					made, err := maker.CreateAndSignItem([]byte("data"), where, where, tags)
					if err != nil {
						t.Fatal(err)
					}
					item, err := ParseItem(made.ItemBinary)
					if err != nil {
						t.Fatal(err)
					}
					checkGoar(t, item)
					checkOneEncoding(t, item)
				}
			}
		})
	}
}

func TestWalletFiles(t *testing.T) {
	var jwk map[string]string
	if err := json.Unmarshal([]byte(arweaveKey(t)), &jwk); err != nil {
		t.Fatal(err)
	}
	changed := func(field, value string) string {
		copied := map[string]string{}
		for k, v := range jwk {
			copied[k] = v
		}
		copied[field] = value
		text, err := json.Marshal(copied)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const key = keyPrefix + "BwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"Arweave", arweaveKey(t), 0o600, ""},
		{"Ethereum", ethKey, 0o600, ""},
		{"Ethereum in capitals", strings.ToUpper(ethKey), 0o600, ""},
		{"writer key", key, 0o600, ""},
		{"open to all", ethKey, 0o604, "chmod 600"},
		{"empty", "", 0o600, "neither"},
		{"Ethereum, cut short", ethKey[:63], 0o600, "neither"},
		{"Ethereum, a wrong digit", ethKey[:63] + "g", 0o600, "Ethereum key is damaged"},
		{"Ethereum, zero", strings.Repeat("0", 64), 0o600, "Ethereum key is damaged"},
		{"Ethereum, over the order", strings.Repeat("f", 64), 0o600, "Ethereum key is damaged"},
		{"writer key, damaged", key[:len(key)-1], 0o600, "neither"},
		{"not JSON", arweaveKey(t)[:100], 0o600, "Arweave wallet is damaged"},
		{"another kind of JSON", `{"kty":"EC"}`, 0o600, "Arweave wallet is damaged"},
		{"an Ethereum key store", `{"version":3,"crypto":{}}`, 0o600, "Arweave wallet is damaged"},
		{"not base64url", changed("d", "!!"), 0o600, "Arweave wallet is damaged"},
		{"public half only", changed("d", ""), 0o600, "Arweave wallet is damaged"},
		{"without primes", changed("p", ""), 0o600, "Arweave wallet is damaged"},
		{"primes of another", changed("p", jwk["q"]), 0o600, "Arweave wallet is damaged"},
		{"secret of another", changed("d", jwk["n"]), 0o600, "Arweave wallet is damaged"},
		{"small modulus", changed("n", jwk["p"]), 0o600, "Arweave wallet is damaged"},
		{"exponent 3", changed("e", "Aw"), 0o600, "Arweave wallet is damaged"},
		{"huge exponent", changed("e", jwk["n"]), 0o600, "Arweave wallet is damaged"},
	}
	hidden := append(secrets([]byte(ethKey)), ethKey[:16], jwk["d"][:16], jwk["p"][:16], jwk["q"][:16], "BwAAAA")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := secretFile(t, test.text, test.mode)
			w, err := LoadWallet(file)
			checkRefusal(t, err, test.want)
			if err == nil {
				if _, err := SignItem(w, nil, nil); err != nil {
					t.Error(err)
				}
				return
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want the name of the file in it", err)
			}
			checkSilent(t, "the error", err.Error(), hidden)
		})
	}
	_, err := LoadWallet(filepath.Join(t.TempDir(), "none"))
	checkRefusal(t, err, "does not exist")
}

func TestWalletNeverShowsItsSecret(t *testing.T) {
	var jwk struct{ D, P, Q string }
	if err := json.Unmarshal([]byte(arweaveKey(t)), &jwk); err != nil {
		t.Fatal(err)
	}
	secretEth, err := hex.DecodeString(ethKey)
	if err != nil {
		t.Fatal(err)
	}
	var forms []string
	for _, s := range []string{jwk.D, jwk.P, jwk.Q} {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		forms = append(forms, secrets(b)...)
	}
	forms = append(forms, secrets(secretEth)...)
	for name, w := range map[string]Wallet{"Arweave": loadWallet(t, arweaveKey(t)), "Ethereum": loadWallet(t, ethKey)} {
		held := struct{ inside Wallet }{w}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
			checkSilent(t, name+" printed with "+verb, fmt.Sprintf(verb+verb, w, held), forms)
		}
	}
	if got, want := fmt.Sprint(loadWallet(t, ethKey)), "wallet 0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
