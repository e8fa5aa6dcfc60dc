package kwil

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/everFinance/goar"
	"github.com/everFinance/goar/types"
	"github.com/everFinance/goether"

	"github.com/pgbridge/pgbridge/archive"
)

// provider is a Kwil provider of 2023 with its admin key. It writes through
// goar, so that what it writes is not read by its own kind.
type provider struct {
	key     *goether.Signer
	local   string // Local-DBID
	anchors byte   // so far; Bundlr's client took random ones
}

const dbid = "x7a3f0c55f4f1e4f6b9d0c8e2b1a09384756afebdc1230948576aabbc"

// newProvider has a key that is anything but secret.
func newProvider(t testing.TB, number byte) *provider {
	t.Helper()
	key, err := goether.NewSigner(hex.EncodeToString(bytes.Repeat([]byte{number}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	local := sha256.Sum224([]byte{number})
	return &provider{key: key, local: "x" + hex.EncodeToString(local[:])}
}

func (p *provider) address(t testing.TB) Address {
	t.Helper()
	a, err := ParseAddress(p.key.Address.String())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signed is the tag Signature: signMessage of the id.
func (p *provider) signed(t testing.TB, id string) string {
	t.Helper()
	signature, err := p.key.SignMsg([]byte(id))
	if err != nil {
		t.Fatal(err)
	}
	return "0x" + hex.EncodeToString(signature)
}

// tags are the nine of the 2023 format.
func (p *provider) tags(t testing.TB, id string) []archive.Tag {
	t.Helper()
	return []archive.Tag{
		{Name: "Application", Value: "KwilDb"},
		{Name: "Content-Type", Value: "application/json"},
		{Name: "Original-DBID", Value: dbid},
		{Name: "Local-DBID", Value: p.local},
		{Name: "Local-DB-Name", Value: "message_board"},
		{Name: "Type", Value: "Action-Sync"},
		{Name: "Action-Id", Value: id},
		{Name: "Provider-Address", Value: p.key.Address.String()},
		{Name: "Signature", Value: p.signed(t, id)},
	}
}

// item signs an item. Each has an anchor of its own, as each upload had: 32
// characters of base64.
func (p *provider) item(t testing.TB, tags []archive.Tag, data string) archive.Item {
	t.Helper()
	signer, err := goar.NewItemSigner(p.key)
	if err != nil {
		t.Fatal(err)
	}
	p.anchors++
	random := sha256.Sum256([]byte{p.anchors})
	anchor := base64.StdEncoding.EncodeToString(random[:])[:32]
	var list []types.Tag
	for _, tag := range tags {
		list = append(list, types.Tag{Name: tag.Name, Value: tag.Value})
	}
	made, err := signer.CreateAndSignItem([]byte(data), "", base64.RawURLEncoding.EncodeToString([]byte(anchor)), list)
	if err != nil {
		t.Fatal(err)
	}
	item, err := archive.ParseItem(made.ItemBinary)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// save is what save_action did in 2023.
func (p *provider) save(t testing.TB, id, name string, params ...string) archive.Item {
	t.Helper()
	return p.item(t, p.tags(t, id), stringify(name, params...))
}

// stringify is the payload, of names and values in turn.
func stringify(name string, params ...string) string {
	var list []Param
	for i := 0; i < len(params); i += 2 {
		list = append(list, Param{params[i], params[i+1]})
	}
	return string(AppendPayload(nil, name, list))
}

// actionID is a nanoid that is none.
func actionID(n int) string { return fmt.Sprintf("V1StGXR8_Z5jdHi6B%04d", n) }

var update = flag.Bool("update", false, "write the recorded items anew")

// recorded are the items in testdata, by file. history is what two providers
// wrote, in this order, hostile what others have made of it.
func recorded(t *testing.T) map[string]archive.Item {
	t.Helper()
	first, second, stranger := newProvider(t, 1), newProvider(t, 2), newProvider(t, 3)
	items := map[string]archive.Item{}
	for n := range 24 {
		by, caller := first, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
		if n%5 == 3 {
			by, caller = second, "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
		}
		key := fmt.Sprintf("message-%02d", n)
		items[fmt.Sprintf("history/%02d.item", n)] = by.save(t, actionID(n), "insert_message_sync",
			"$id", key, "$message", fmt.Sprintf("message %d: \"hi\"\n\\ <&> ü 😀 \u2028", n), "$original_caller", caller)
		if n%8 == 7 {
			items[fmt.Sprintf("history/%02db-edit.item", n)] = second.save(t, actionID(100+n), "edit_message_sync",
				"$id", key, "$message", "edited")
			items[fmt.Sprintf("history/%02dc-retry.item", n)] = second.save(t, actionID(100+n), "edit_message_sync",
				"$id", key, "$message", "edited")
		}
	}
	evil := stringify("insert_message_sync", "$id", "evil", "$message", "evil", "$original_caller", "0x0")
	copied := first.tags(t, actionID(3))
	items["hostile/stranger.item"] = stranger.save(t, actionID(200), "insert_message_sync", "$id", "evil", "$message", "evil", "$original_caller", "0x0")
	items["hostile/copied.item"] = stranger.item(t, copied, evil)
	items["hostile/address.item"] = stranger.item(t, withTag(stranger.tags(t, actionID(201)), "Provider-Address", first.key.Address.String()), evil)
	items["hostile/borrowed.item"] = second.item(t, first.tags(t, actionID(202)), evil)
	items["hostile/clash.item"] = first.save(t, actionID(5), "insert_message_sync", "$id", "evil", "$message", "evil", "$original_caller", "0x0")
	items["hostile/payload.item"] = first.item(t, first.tags(t, actionID(203)), `{"actionName":"drop","data":null}`)
	items["hostile/twice.item"] = first.item(t, append(first.tags(t, actionID(204)), archive.Tag{Name: "Action-Id", Value: actionID(205)}), evil)
	return items
}

func withTag(tags []archive.Tag, name, value string) []archive.Tag {
	for i := range tags {
		if tags[i].Name == name {
			tags[i].Value = value
		}
	}
	return tags
}

// TestRecorded holds the recorded items to the format, byte for byte.
func TestRecorded(t *testing.T) {
	items := recorded(t)
	for name, item := range items {
		path := filepath.Join("testdata", filepath.FromSlash(name))
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, item.Bytes, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("%v: make it with -update", err)
		}
		if !bytes.Equal(got, item.Bytes) {
			t.Errorf("%s is not what the writer of 2023 writes", name)
		}
	}
	files, err := filepath.Glob("testdata/*/*.item")
	if err != nil || len(files) != len(items) {
		t.Errorf("got %d files (%v), want %d", len(files), err, len(items))
	}
	item := items["history/00.item"]
	const want = `{"actionName":"insert_message_sync","data":[{"name":"$id","value":"message-00"},` +
		`{"name":"$message","value":"message 0: \"hi\"\n\\ <&> ü 😀 ` + "\u2028" + `"},` +
		`{"name":"$original_caller","value":"0x70997970C51812dc3A010C7d01b50e0d17dc79C8"}]}`
	if string(item.Data) != want {
		t.Errorf("payload: got %s, want %s", item.Data, want)
	}
	if item.SigType != archive.SigEthereum || len(item.Anchor) != 32 || len(item.Tags) != 9 {
		t.Errorf("got type %d, an anchor of %d bytes and %d tags, want 3, 32 and 9", item.SigType, len(item.Anchor), len(item.Tags))
	}
}
