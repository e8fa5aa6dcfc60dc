package node

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pgbridge/pgbridge/archive"
)

const pemType = "PRIVATE KEY"

// loadKey reads the key that signs receipts, or makes it at the first start.
func loadKey(file string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the node's key: %w", err)
	}
	damaged := fmt.Errorf("the node's key %s is damaged: put its copy back; if there is none, remove it, "+
		"and tell all who pinned the node's address its new one", file)
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, damaged
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, damaged
	}
	return key, nil
}

// makeKey is durable when it returns: receipts of a key that is lost prove nothing.
func makeKey(file string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		return nil, fmt.Errorf("make the node's key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the node's key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if err := writeDurably(file, text); err != nil {
		return nil, fmt.Errorf("write the node's key: %w", err)
	}
	return key, nil
}

// writeDurably writes a new file, whole or not at all, that only its owner may read.
func writeDurably(file string, text []byte) error {
	part := file + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// address is what clients pin.
func address(key *rsa.PrivateKey) string { return archive.Address(key.N.Bytes()) }
