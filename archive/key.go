package archive

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// Key is a writer key: ed25519, the identity that signs records. Its zero
// value signs nothing. Printing a Key prints the writer, never the secret.
type Key struct {
	private func() ed25519.PrivateKey // a func: whatever prints it shows an address
}

func keyOf(private ed25519.PrivateKey) Key {
	return Key{func() ed25519.PrivateKey { return private }}
}

const keyPrefix = "PGBRIDGE-KEY-1:"

// NewKey makes a key from the system's randomness.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return keyOf(private), nil
}

// KeyFromSeed makes the key of a 32-byte seed.
func KeyFromSeed(seed [32]byte) Key { return keyOf(ed25519.NewKeyFromSeed(seed[:])) }

// Writer is the public half. The zero Key has the zero Writer.
func (k Key) Writer() (w action.Writer) {
	if k.private != nil {
		copy(w[:], k.private().Public().(ed25519.PublicKey))
	}
	return w
}

func (k Key) String() string {
	if k.private == nil {
		return "no writer key"
	}
	return "key of writer " + k.Writer().String()
}

// Format prints String, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { io.WriteString(f, k.String()) }

// sign returns the 64-byte signature of message. Ed25519 is deterministic: the
// same message has the same signature.
func (k Key) sign(message []byte) []byte { return ed25519.Sign(k.private(), message) }

// Encode is the text of a key file. It is the secret itself. The zero Key has
// none.
func (k Key) Encode() []byte {
	if k.private == nil {
		return nil
	}
	return fmt.Appendf(nil, "# pgbridge writer key: keep it secret, keep a copy\n# writer %s\n%s%s\n",
		k.Writer(), keyPrefix, base64.RawURLEncoding.EncodeToString(k.private().Seed()))
}

// ParseKey reads the text of a key file: comment lines, and one line with the key.
// Its errors never quote the file.
func ParseKey(text []byte) (Key, error) {
	var encoded string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, ok := strings.CutPrefix(line, keyPrefix)
		if !ok {
			encoded = ""
			break
		}
		if encoded != "" {
			return Key{}, errors.New("more than one key in the file")
		}
		encoded = key
	}
	if encoded == "" {
		return Key{}, fmt.Errorf("no line that begins with %s: this is not a pgbridge key", keyPrefix)
	}
	seed, err := decodeBase64(encoded)
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, errors.New("the key is damaged: it is not 32 bytes in base64url")
	}
	return KeyFromSeed([32]byte(seed)), nil
}

// LoadKey reads a key file. It refuses one that every user of the machine can read.
func LoadKey(file string) (Key, error) {
	text, err := ReadSecret("key file", file, "make one with pgbridge keygen --out "+file)
	if err != nil {
		return Key{}, err
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("key file %s: %w", file, err)
	}
	return key, nil
}

// maxSecret bounds a file with a key, in bytes. An Arweave wallet has 3 KB.
const maxSecret = 64 << 10

// ReadSecret reads a file that other users of the machine must not read. what
// is it called, and remedy is what to do if it does not exist.
func ReadSecret(what, file, remedy string) ([]byte, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %s does not exist: %s", what, file, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s %s is open to every user (mode %04o): chmod 600 %[2]s", what, file, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(text) > maxSecret {
		return nil, fmt.Errorf("%s %s is too long to be one: over %d bytes", what, file, maxSecret)
	}
	return text, nil
}
