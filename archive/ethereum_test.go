package archive

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestRecoverEthereum(t *testing.T) {
	// Of the documentation of web3.js, accounts.sign.
	const (
		message   = "Some data"
		signature = "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
		address   = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
	)
	twin := signature[:128] + "01" // v as others write it
	tests := []struct{ name, message, signature, want string }{
		{"good", message, signature, address},
		{"v without 27", message, twin, ""},
		{"another v", message, signature[:128] + "1f", ""},
		{"cut short", message, signature[:128], ""},
		{"too long", message, signature + "00", ""},
		{"empty", message, "", ""},
		{"zeros", message, strings.Repeat("00", 64) + "1b", ""},
		{"over the order", message, strings.Repeat("ff", 64) + "1b", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			raw, err := hex.DecodeString(test.signature)
			if err != nil {
				t.Fatal(err)
			}
			got, err := RecoverEthereum([]byte(test.message), raw)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	raw, _ := hex.DecodeString(signature)
	if got, err := RecoverEthereum([]byte("Other data"), raw); got == address {
		t.Errorf("of another message: got %s, %v, want another address", got, err)
	}
}
