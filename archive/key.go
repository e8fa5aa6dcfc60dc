package archive

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// Key is a writer key: ed25519, the identity that signs records. Its zero
// value signs nothing. Printing a Key prints the writer, never the secret.
type Key struct {
	private ed25519.PrivateKey
}

const keyPrefix = "PGBRIDGE-KEY-1:"

// NewKey makes a key from the system's randomness.
func NewKey() (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	return Key{private}, nil
}

// KeyFromSeed makes the key of a 32-byte seed.
func KeyFromSeed(seed [32]byte) Key { return Key{ed25519.NewKeyFromSeed(seed[:])} }

// Writer is the public half.
func (k Key) Writer() (w action.Writer) {
	copy(w[:], k.private.Public().(ed25519.PublicKey))
	return w
}

func (k Key) String() string   { return "key of writer " + k.Writer().String() }
func (k Key) GoString() string { return k.String() }

// sign returns the 64-byte signature of message. Ed25519 is deterministic: the
// same message has the same signature.
func (k Key) sign(message []byte) []byte { return ed25519.Sign(k.private, message) }

// Encode is the text of a key file. It is the secret itself.
func (k Key) Encode() []byte {
	return fmt.Appendf(nil, "# pgbridge writer key: keep it secret, keep a copy\n# writer %s\n%s%s\n",
		k.Writer(), keyPrefix, base64.RawURLEncoding.EncodeToString(k.private.Seed()))
}

// ParseKey reads the text of a key file: comment lines, and one line with the key.
// Its errors never quote the file.
func ParseKey(text []byte) (Key, error) {
	var found string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if found != "" {
			return Key{}, errors.New("more than one key in the file")
		}
		found = line
	}
	encoded, ok := strings.CutPrefix(found, keyPrefix)
	if !ok {
		return Key{}, fmt.Errorf("no line that begins with %s: this is not a pgbridge key", keyPrefix)
	}
	seed, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, errors.New("the key is damaged: it is not 32 bytes in base64url")
	}
	return Key{ed25519.NewKeyFromSeed(seed)}, nil
}

// LoadKey reads a key file. It refuses one that every user of the machine can read.
func LoadKey(file string) (Key, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Key{}, fmt.Errorf("key file %s does not exist: make one with pgbridge keygen --out %[1]s", file)
	}
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o007 != 0 {
		return Key{}, fmt.Errorf("key file %s is open to every user (mode %04o): chmod 600 %[1]s", file, info.Mode().Perm())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Key{}, fmt.Errorf("key file: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("key file %s: %w", file, err)
	}
	return key, nil
}
