package archive

import (
	"bytes"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// The golden files are version 1 of the wire format. They never change: a
// later version adds its own, and still reads these.
var goldens = []struct {
	name            string
	header          Header // without what seal fills in, and without Size
	body            string
	actions         []string
	digest, db      string
	itemID, address string
}{
	{
		name: "genesis",
		header: Header{
			Type: TypeGenesis, Epoch: 1, Seq: 1, From: 0x1530A28, To: 0x1530A28,
			System: 7312345678901234567, Timeline: 1, Schema: filled(0x5c),
		},
		body:    `{"name":"shop"}` + "\n",
		digest:  "9b16c623ca4cbdee14677e7d2fd98daa6995f18172301b921ffcfa5488e8c5c5",
		db:      "9b16c623ca4cbdee14677e7d2fd98daa6995f18172301b921ffcfa5488e8c5c5",
		itemID:  "EHcsHRve2H8E0V7RiqDugZVPRpbfh6_Lk-oBdKmO-04",
		address: "Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw",
	},
	{
		name: "actions",
		header: Header{
			Type: TypeActions, DB: filled(0xdb), Epoch: 2, Seq: 42, Prev: filled(0x9e), Txs: 2,
			From: 0x16B3748, To: 0x16B374D848, System: 7312345678901234567, Timeline: 3, Schema: filled(0x5c),
		},
		body: `{"lsn":"0/16B3748","xid":771,"actions":[{"action":"app.create_post","params":{"id":"7","title":"größer","deleted_at":null}}]}` + "\n" +
			`{"lsn":"16/B374D848","xid":772,"actions":[{"action":"app.tags.insert","columns":["post_id","tag"],"rows":[["7","go"],["7","pg"]]}]}` + "\n",
		actions: []string{"app.create_post", "app.tags.insert"},
		digest:  "bd4bafd30d9479198eaff62efc59d9c1f7d4b202268defea2bee64aa5a29f7a5",
		db:      "dbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdbdb",
		itemID:  "B6Rx_Wx8IkCeooOWJOXWD4J0iFE2XPCy_S6ZYk2WEy4",
		address: "Vkdap1RjR0wChd9dvyvKtz2mUTWIOem3dIGy6rEHcIw",
	},
}

func filled(b byte) (d action.Digest) {
	copy(d[:], bytes.Repeat([]byte{b}, len(d)))
	return d
}

func goldenKey() Key {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(i)
	}
	return KeyFromSeed(seed)
}

func TestGoldenRecords(t *testing.T) {
	for _, golden := range goldens {
		t.Run(golden.name, func(t *testing.T) {
			raw := mustRead(t, "testdata/"+golden.name+"-v1.record")
			r, err := Open(raw)
			if err != nil {
				t.Fatal(err)
			}
			body, err := r.Body(nil)
			if err != nil {
				t.Fatal(err)
			}
			if string(body) != golden.body {
				t.Errorf("body: got %q, want %q", body, golden.body)
			}
			want := golden.header
			want.Writer, want.Size, want.Body = goldenKey().Writer(), len(golden.body), r.Header.Body
			if r.Header != want {
				t.Errorf("header: got  %+v\nwant %+v", r.Header, want)
			}
			if got := r.Digest.String(); got != golden.digest {
				t.Errorf("digest: got %s, want %s", got, golden.digest)
			}
			if got := r.DB().String(); got != golden.db {
				t.Errorf("database: got %s, want %s", got, golden.db)
			}
			// The compressor may change what it makes of a body; the rest may not.
			golden.header.Size = len(golden.body)
			again, err := seal(goldenKey(), golden.header, r.body)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes, raw) {
				t.Errorf("sealed again: got  %q\nwant %q", again.Bytes, raw)
			}
		})
	}
}

func TestGoldenItems(t *testing.T) {
	for _, golden := range goldens {
		t.Run(golden.name, func(t *testing.T) {
			raw := mustRead(t, "testdata/"+golden.name+"-v1.item")
			item, err := ParseItem(raw)
			if err != nil {
				t.Fatal(err)
			}
			checkGoar(t, item)
			if item.ID != golden.itemID || item.Address() != golden.address {
				t.Errorf("got %s of %s, want %s of %s", item.ID, item.Address(), golden.itemID, golden.address)
			}
			r, err := Open(item.Data)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckTags(&item, &r); err != nil {
				t.Error(err)
			}
			again, err := Wrap(KeyWallet(goldenKey()), &r, golden.actions)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes, raw) {
				t.Errorf("wrapped again: got  %q\nwant %q", again.Bytes, raw)
			}
		})
	}
}
