package kwil

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	const good = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed" // of EIP-55
	tests := []struct{ name, text, fault string }{
		{"checksum", good, ""},
		{"lower case", strings.ToLower(good), ""},
		{"upper case", "0x" + strings.ToUpper(good[2:]), ""},
		{"a typing error", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee", "checksum"},
		{"a letter in the wrong case", "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "checksum"},
		{"no 0x", good[2:], "want 0x"},
		{"too short", good[:41], "want 0x"},
		{"not hexadecimal", good[:41] + "g", "want 0x"},
		{"empty", "", "want 0x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := ParseAddress(test.text)
			if test.fault != "" {
				if err == nil || !strings.Contains(err.Error(), test.fault) {
					t.Fatalf("got %v, want an error with %q", err, test.fault)
				}
				return
			}
			if err != nil || a.String() != good {
				t.Errorf("got %s, %v, want %s", a, err, good)
			}
		})
	}
}
