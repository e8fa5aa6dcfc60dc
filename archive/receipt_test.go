package archive

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

// receiptKey is the key of testdata/test-wallet.json.
func receiptKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	var jwk struct{ N, D, P, Q string }
	if err := json.Unmarshal([]byte(arweaveKey(t)), &jwk); err != nil {
		t.Fatal(err)
	}
	number := func(s string) *big.Int {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(b)
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: number(jwk.N), E: 65537}, D: number(jwk.D), Primes: []*big.Int{number(jwk.P), number(jwk.Q)},
	}
	key.Precompute()
	return key
}

func somePromise() Promise {
	return Promise{ID: Address([]byte("item")), Timestamp: 1795000000000, Version: "1.0.0", DeadlineHeight: 1567890}
}

func TestSignReceiptVerifies(t *testing.T) {
	key := receiptKey(t)
	bundler := Address(key.N.Bytes())
	signed, err := SignReceipt(key, somePromise())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	got, err := VerifyReceipt(raw, signed.ID, []string{"another", bundler})
	if err != nil {
		t.Fatal(err)
	}
	if got != signed {
		t.Errorf("got  %+v\nwant %+v", got, signed)
	}
}

// The file was signed with no salt, as Turbo does, by another implementation.
func TestVerifyReceiptOfTurbo(t *testing.T) {
	bundler := Address(receiptKey(t).N.Bytes())
	_, err := VerifyReceipt(mustRead(t, "testdata/receipt-turbo.json"), Address([]byte("x")), []string{bundler})
	checkRefusal(t, err, "it is for")
	sum := sha256.Sum256([]byte("an item"))
	id := base64.RawURLEncoding.EncodeToString(sum[:])
	got, err := VerifyReceipt(mustRead(t, "testdata/receipt-turbo.json"), id, []string{bundler})
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != id || got.Timestamp != 1795000000000 || got.Version != "1.0.0" || got.DeadlineHeight != 1567890 {
		t.Errorf("got %+v", got)
	}
}

func TestVerifyReceiptOfEverySalt(t *testing.T) {
	key, p := receiptKey(t), somePromise()
	p.Public = base64.RawURLEncoding.EncodeToString(key.N.Bytes())
	hashed := sha256.Sum256(p.message())
	for _, salt := range []int{1, 32, 64, rsa.PSSSaltLengthAuto} {
		signature, err := rsa.SignPSS(rand.Reader, key, crypto.SHA256, hashed[:], &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		p.Signature = base64.RawURLEncoding.EncodeToString(signature)
		if err := p.verify(p.ID, []string{Address(key.N.Bytes())}); err != nil {
			t.Errorf("salt %d: %v", salt, err)
		}
	}
}

func TestVerifyReceiptRefuses(t *testing.T) {
	key := receiptKey(t)
	bundler := []string{Address(key.N.Bytes())}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good, err := SignReceipt(key, somePromise())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*Promise)
		pinned []string
		want   string
	}{
		{"as signed", func(*Promise) {}, bundler, ""},
		{"another id", func(p *Promise) { p.ID = Address([]byte("other")) }, bundler, "it is for"},
		{"no id", func(p *Promise) { p.ID = "" }, bundler, "it is for"},
		{"another time", func(p *Promise) { p.Timestamp++ }, bundler, "not that of the bundler"},
		{"no time", func(p *Promise) { p.Timestamp = 0 }, bundler, "out of bounds"},
		{"another height", func(p *Promise) { p.DeadlineHeight++ }, bundler, "not that of the bundler"},
		{"negative height", func(p *Promise) { p.DeadlineHeight = -1 }, bundler, "out of bounds"},
		{"another version", func(p *Promise) { p.Version = "1.0.1" }, bundler, "not that of the bundler"},
		{"nothing pinned", func(*Promise) {}, nil, "not a pinned bundler"},
		{"another pinned", func(*Promise) {}, []string{Address([]byte("z"))}, "not a pinned bundler"},
		{"no key", func(p *Promise) { p.Public = "" }, bundler, "RSA modulus"},
		{"no key, its hash pinned", func(p *Promise) { p.Public = "" }, []string{Address(nil)}, "RSA modulus"},
		{"short key, its hash pinned", func(p *Promise) { p.Public = "AQAB" }, []string{Address([]byte{1, 0, 1})}, "RSA modulus"},
		{"key padded", func(p *Promise) { p.Public += "=" }, bundler, "RSA modulus"},
		{"key with its last bits set", func(p *Promise) {
			last := len(p.Public) - 1
			p.Public = p.Public[:last] + nextDigit(p.Public[last])
		}, bundler, "RSA modulus"},
		{"key with a line break", func(p *Promise) { p.Public = p.Public[:9] + "\n" + p.Public[9:] }, bundler, "RSA modulus"},
		{"key with a zero in front", func(p *Promise) {
			p.Public = base64.RawURLEncoding.EncodeToString(append([]byte{0}, key.N.Bytes()...))
		}, bundler, "RSA modulus"},
		{"signature of a stranger under our key", func(p *Promise) {
			forged, _ := SignReceipt(stranger, *p)
			p.Signature = forged.Signature
		}, bundler, "length of the key"},
		{"stranger", func(p *Promise) { *p, _ = SignReceipt(stranger, *p) }, bundler, "not a pinned bundler"},
		{"no signature", func(p *Promise) { p.Signature = "" }, bundler, "its signature"},
		{"signature with a line break", func(p *Promise) { p.Signature = p.Signature[:9] + "\n" + p.Signature[9:] }, bundler, "its signature"},
		{"signature changed", func(p *Promise) { p.Signature = "AAAA" + p.Signature[4:] }, bundler, "not that of the bundler"},
		{"even key, its hash pinned", func(p *Promise) {
			p.Public = base64.RawURLEncoding.EncodeToString(new(big.Int).Add(key.N, big.NewInt(1)).Bytes())
		}, []string{Address(new(big.Int).Add(key.N, big.NewInt(1)).Bytes())}, "not that of the bundler"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := good
			test.change(&p)
			raw, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			_, err = VerifyReceipt(raw, good.ID, test.pinned)
			checkRefusal(t, err, test.want)
		})
	}
	texts := []struct{ name, raw string }{
		{"empty", ""},
		{"empty object", "{}"},
		{"null", "null"},
		{"array", "[]"},
		{"number", "202"},
		{"time as a fraction", `{"id":"` + good.ID + `","timestamp":1.5}`},
		{"huge", `{"id":"` + strings.Repeat("x", maxReceipt) + `"}`},
	}
	for _, test := range texts {
		t.Run(test.name, func(t *testing.T) {
			if _, err := VerifyReceipt([]byte(test.raw), good.ID, bundler); err == nil {
				t.Error("got no error, want one")
			}
		})
	}
}

func TestSignReceiptRefusesSmallKeys(t *testing.T) {
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}}
	_, err := SignReceipt(key, somePromise())
	checkRefusal(t, err, "RSA-2048")
}
