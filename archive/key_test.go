package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// secrets are the forms in which a secret could show.
func secrets(secret []byte) []string {
	decimal := fmt.Sprint(secret)
	return []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.RawURLEncoding.EncodeToString(secret), base64.RawStdEncoding.EncodeToString(secret),
		strings.Trim(decimal, "[]"), strings.ReplaceAll(strings.Trim(decimal, "[]"), " ", ", "),
		fmt.Sprintf("%#v", secret),
	}
}

func checkSilent(t *testing.T, what, text string, forms []string) {
	t.Helper()
	for _, form := range forms {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret", what)
			return
		}
	}
}

func TestKeyNeverShowsItsSecret(t *testing.T) {
	var seed [32]byte
	copy(seed[:], randomBytes(t, 32))
	key := KeyFromSeed(seed)
	forms := append(secrets(seed[:]), secrets(key.private())...)
	type holder struct {
		Public  Key
		private Key
		pointer *Key
		wallet  Wallet
	}
	held := holder{key, key, &key, KeyWallet(key)}
	for _, value := range []any{key, &key, held, &held, []Key{key}, map[string]Key{"k": key}, KeyWallet(key)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%c", "%U", "%o", "%b", "%t"} {
			checkSilent(t, fmt.Sprintf("%T printed with %s", value, verb), fmt.Sprintf(verb, value), forms)
		}
		text, err := json.Marshal(value)
		if err != nil {
			t.Errorf("%T: %v", value, err)
		}
		checkSilent(t, fmt.Sprintf("JSON of %T", value), string(text), forms)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", value)
		checkSilent(t, fmt.Sprintf("log of %T", value), log.String(), forms)
	}
	for _, got := range []string{fmt.Sprint(key), fmt.Sprintf("%+v", key), fmt.Sprintf("%d", key), key.String()} {
		if want := "key of writer " + key.Writer().String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestZeroKey(t *testing.T) {
	var key Key
	if got, want := fmt.Sprintf("%v %+v %s", key, key, key.Writer()), "no writer key no writer key "+strings.Repeat("0", 64); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := key.Encode(); got != nil {
		t.Errorf("encoded: got %q, want nothing", got)
	}
	_, err := Seal(key, actionsHeader(), nil)
	checkRefusal(t, err, "no writer key")
}

func TestKeyFileRoundTrip(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file := secretFile(t, string(key.Encode()), 0o600)
	got, err := LoadKey(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.Writer() != key.Writer() || !bytes.Equal(got.Encode(), key.Encode()) {
		t.Errorf("got %v, want %v", got, key)
	}
	other, err := NewKey()
	if err != nil || other.Writer() == key.Writer() {
		t.Errorf("a second key: got %v (%v), want another than %v", other, err, key)
	}
}

func secretFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return file
}

func TestKeyFiles(t *testing.T) {
	seed := [32]byte{1, 2, 3}
	good := string(KeyFromSeed(seed).Encode())
	line := keyPrefix + base64.RawURLEncoding.EncodeToString(seed[:])
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"good", good, 0o600, ""},
		{"read only", good, 0o400, ""},
		{"open to the group", good, 0o640, ""},
		{"line ends of Windows", strings.ReplaceAll(good, "\n", "\r\n"), 0o600, ""},
		{"only the line", line, 0o600, ""},
		{"readable by all", good, 0o644, "chmod 600"},
		{"writable by all", good, 0o602, "chmod 600"},
		{"empty", "", 0o600, "not a pgbridge key"},
		{"only comments", "# pgbridge writer key\n", 0o600, "not a pgbridge key"},
		{"another kind of key", "-----BEGIN OPENSSH PRIVATE KEY-----\n", 0o600, "not a pgbridge key"},
		{"next version", strings.Replace(line, "KEY-1", "KEY-2", 1), 0o600, "not a pgbridge key"},
		{"two keys", line + "\n" + line, 0o600, "more than one key"},
		{"cut short", line[:len(line)-1], 0o600, "damaged"},
		{"too long", line + "AA", 0o600, "damaged"},
		{"a wrong character", line[:len(line)-1] + "!", 0o600, "damaged"},
		{"padded", line + "=", 0o600, "damaged"},
		{"a return inside", line[:40] + "\r" + line[40:], 0o600, "damaged"},
		{"last bits set", line[:len(line)-1] + "B", 0o600, "damaged"},
		{"huge", "#" + strings.Repeat("x", maxSecret), 0o600, "too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := secretFile(t, test.text, test.mode)
			key, err := LoadKey(file)
			checkRefusal(t, err, test.want)
			if err == nil {
				if got, want := key.Writer(), KeyFromSeed(seed).Writer(); got != want {
					t.Errorf("got writer %s, want %s", got, want)
				}
				return
			}
			if !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want the name of the file in it", err)
			}
			checkSilent(t, "the error", err.Error(), append(secrets(seed[:]), line[len(keyPrefix):len(line)-4]))
		})
	}
}

func TestKeyFileThatCannotBeRead(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	_, err := LoadKey(missing)
	checkRefusal(t, err, "make one with pgbridge keygen --out "+missing)
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKey(directory)
	checkRefusal(t, err, "is a directory")
}
