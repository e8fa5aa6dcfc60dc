package archive

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	goartypes "github.com/everFinance/goar/types"
	goarutils "github.com/everFinance/goar/utils"
)

func TestSignItemCopiesDataOnce(t *testing.T) {
	data := make([]byte, 4<<20)
	w := KeyWallet(KeyFromSeed(itemSeed))
	used := allocated(func() {
		if _, err := SignItem(w, twoTags(), data); err != nil {
			t.Error(err)
		}
	})
	if limit := uint64(len(data) + 64<<10); used > limit {
		t.Errorf("got %d bytes allocated for an item of 4 MiB, want at most %d", used, limit)
	}
}

func TestSignItemRefusesBadTags(t *testing.T) {
	tests := []struct {
		name string
		tags []Tag
		want string
	}{
		{"empty name", []Tag{{"", "v"}}, "name of 0 bytes"},
		{"empty value", []Tag{{"n", ""}}, "value of 0 bytes"},
		{"not UTF-8", []Tag{{"n", "\xff"}}, "UTF-8"},
		{"too many", slices.Repeat([]Tag{{"n", "v"}}, 129), "129 tags"},
		{"4096 bytes together", []Tag{{"n", strings.Repeat("v", 3072)}, {"n", strings.Repeat("v", 1014)}}, ""},
		{"4097 bytes together", []Tag{{"n", strings.Repeat("v", 3072)}, {"n", strings.Repeat("v", 1015)}}, "4097 bytes of tags"},
		{"too long together", slices.Repeat([]Tag{{"n", strings.Repeat("v", 2048)}}, 2), "bytes of tags"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), test.tags, nil)
			checkRefusal(t, err, test.want)
		})
	}
}

// lyingWallet returns what it is told to.
type lyingWallet struct {
	sigType          uint16
	owner, signature []byte
}

func (w lyingWallet) SigType() uint16 { return w.sigType }

func (w lyingWallet) Owner() []byte { return w.owner }

func (w lyingWallet) Sign([]byte) ([]byte, error) { return w.signature, nil }

func TestSignItemRefusesWhatAWalletGotWrong(t *testing.T) {
	writer := KeyFromSeed(itemSeed).Writer()
	tests := []struct {
		name   string
		wallet Wallet
		want   string
	}{
		{"type", lyingWallet{5, writer[:], make([]byte, 64)}, "type 5"},
		{"owner", lyingWallet{2, writer[:31], make([]byte, 64)}, "owner of 31 bytes"},
		{"length", lyingWallet{2, writer[:], make([]byte, 63)}, "signature of 63 bytes"},
		{"signature", lyingWallet{2, writer[:], make([]byte, 64)}, "not that of the owner"},
		{"no key", KeyWallet(Key{}), "no writer key"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := SignItem(test.wallet, nil, []byte("x"))
			checkRefusal(t, err, test.want)
		})
	}
}

func TestSignItemIsWhatGoarWrites(t *testing.T) {
	item, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), twoTags(), []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	checkGoar(t, item)
	var tags []goartypes.Tag
	for _, tag := range twoTags() {
		tags = append(tags, goartypes.Tag{Name: tag.Name, Value: tag.Value})
	}
	b64 := base64.RawURLEncoding.EncodeToString
	other, err := goarutils.NewBundleItem(b64(item.Owner), int(item.SigType), "", "", []byte("data"), tags)
	if err != nil {
		t.Fatal(err)
	}
	message, err := goarutils.BundleItemSignData(*other)
	if err != nil {
		t.Fatal(err)
	}
	other.Signature = b64(ed25519.Sign(ed25519.NewKeyFromSeed(itemSeed[:]), message))
	want, err := goarutils.GenerateItemBinary(other)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(item.Bytes, want) {
		t.Errorf("got  %x\nwant %x", item.Bytes, want)
	}
}
