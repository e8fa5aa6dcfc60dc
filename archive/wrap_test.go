package archive

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func wrapped(t testing.TB, r Record, actions ...string) Item {
	t.Helper()
	item, err := Wrap(KeyWallet(KeyFromSeed(recordSeed)), &r, actions)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func TestWrap(t *testing.T) {
	tests := []struct {
		name   string
		header Header
	}{
		{"actions", actionsHeader()},
		{"genesis", genesisHeader()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := sealed(t, test.header, oneLine)
			item := wrapped(t, r, "app.create_post", "app.tags.insert", "app.create_post")
			want := []Tag{
				{"App-Name", "pgbridge"},
				{"App-Version", "1"},
				{"Content-Type", "application/x-pgbridge"},
				{"Type", string(r.Header.Type)},
				{"DB-ID", r.DB().String()},
				{"Writer", r.Header.Writer.String()},
				{"Epoch", strconv.Itoa(int(r.Header.Epoch))},
				{"Seq", strconv.FormatUint(r.Header.Seq, 10)},
				{"Digest", r.Digest.String()},
				{"Action", "app.create_post"},
				{"Action", "app.tags.insert"},
			}
			if !slices.Equal(item.Tags, want) {
				t.Errorf("got  %q\nwant %q", item.Tags, want)
			}
			if !bytes.Equal(item.Data, r.Bytes) {
				t.Error("the data is not the record")
			}
			parsed, err := ParseItem(item.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			checkGoar(t, parsed)
			ref, err := parsed.Ref()
			if err != nil {
				t.Fatal(err)
			}
			wantRef := Ref{
				ID: item.ID, DB: r.DB(), Writer: r.Header.Writer, Type: r.Header.Type,
				Epoch: r.Header.Epoch, Seq: r.Header.Seq, Digest: r.Digest,
			}
			if ref != wantRef {
				t.Errorf("got  %+v\nwant %+v", ref, wantRef)
			}
			opened, err := Open(parsed.Data)
			if err != nil {
				t.Fatal(err)
			}
			if err := CheckTags(&parsed, &opened); err != nil {
				t.Error(err)
			}
			if again := wrapped(t, r, "app.create_post", "app.tags.insert"); !bytes.Equal(again.Bytes, item.Bytes) {
				t.Error("wrapped twice: got other bytes")
			}
		})
	}
}

func TestWrapLeavesOutActionsThatDoNotFit(t *testing.T) {
	names := func(n, size int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%0*d", size, i))
		}
		return all
	}
	tests := []struct {
		name          string
		actions, want []string
	}{
		{"none", nil, nil},
		{"twice", []string{"a.b", "c.d", "a.b"}, []string{"a.b", "c.d"}},
		{"quoted", []string{`app."My Table".insert`}, []string{`app."My Table".insert`}},
		{"not ASCII", []string{`app."größe".insert`, "a.b"}, []string{"a.b"}},
		{"control characters", []string{"a\nb", "a\x7f", "a\x00", "a.b"}, []string{"a.b"}},
		{"empty", []string{"", "a.b"}, []string{"a.b"}},
		{"a name too long", []string{strings.Repeat("n", 3073), "a.b"}, []string{"a.b"}},
		{"a name that fits", []string{strings.Repeat("n", 3072), "a.b"}, []string{strings.Repeat("n", 3072), "a.b"}},
		{"a second that does not", []string{strings.Repeat("n", 3072), strings.Repeat("m", 3072), "a.b"}, []string{strings.Repeat("n", 3072), "a.b"}},
		{"more than 128 tags", names(500, 3), names(119, 3)},
	}
	r := sealed(t, actionsHeader(), oneLine)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, tag := range wrapped(t, r, test.actions...).Tags[9:] {
				got = append(got, tag.Value)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %d: %.200q\nwant %d: %.200q", len(got), got, len(test.want), test.want)
			}
		})
	}
}

func TestWrapFillsTheTagsToTheLastByte(t *testing.T) {
	r := sealed(t, actionsHeader(), oneLine)
	full := 0
	for size := range 900 {
		item := wrapped(t, r, strings.Repeat("n", 3072), strings.Repeat("a", size))
		l, err := splitItem(item.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		full = max(full, len(l.tagBytes))
	}
	// With fewer than 64 tags the count takes one byte of the two kept for it.
	if full < maxTagBytes-1 || full > maxTagBytes {
		t.Errorf("got at most %d bytes of tags, want %d or one less", full, maxTagBytes)
	}
}

func refTags(t *testing.T) []Tag {
	t.Helper()
	return wrapped(t, sealed(t, actionsHeader(), oneLine), "a.b").Tags
}

func TestParseRefIsStrict(t *testing.T) {
	set := func(name, value string) func([]Tag) []Tag {
		return func(tags []Tag) []Tag {
			i := slices.IndexFunc(tags, func(tag Tag) bool { return tag.Name == name })
			tags[i].Value = value
			return tags
		}
	}
	drop := func(name string) func([]Tag) []Tag {
		return func(tags []Tag) []Tag {
			return slices.DeleteFunc(tags, func(tag Tag) bool { return tag.Name == name })
		}
	}
	add := func(name, value string) func([]Tag) []Tag {
		return func(tags []Tag) []Tag { return append(tags, Tag{name, value}) }
	}
	tests := []struct {
		name   string
		change func([]Tag) []Tag
		want   string
	}{
		{"as made", func(tags []Tag) []Tag { return tags }, ""},
		{"another order", func(tags []Tag) []Tag { slices.Reverse(tags); return tags }, ""},
		{"no action", drop("Action"), ""},
		{"an action more", add("Action", "c.d"), ""},
		{"the same action twice", add("Action", "a.b"), ""},
		{"a tag of somebody's", add("Bundler", "x"), ""},
		{"no app", drop("App-Name"), "not an item of pgbridge"},
		{"another app", set("App-Name", "Pgbridge"), "not an item of pgbridge"},
		{"app twice", add("App-Name", "other"), "twice"},
		{"unknown version", set("App-Version", "2"), "update it"},
		{"version 01", set("App-Version", "01"), "update it"},
		{"no version", drop("App-Version"), "update it"},
		{"another content type", set("Content-Type", "text/html"), "Content-Type"},
		{"unknown type", set("Type", "action"), "update it"},
		{"type twice", add("Type", "genesis"), "twice"},
		{"seq twice", add("Seq", "42"), "twice"},
		{"a tag of somebody's twice", func(tags []Tag) []Tag { return append(tags, Tag{"x", "1"}, Tag{"x", "2"}) }, "twice"},
		{"no database", drop("DB-ID"), "DB-ID"},
		{"database in capitals", set("DB-ID", strings.Repeat("A", 64)), "DB-ID"},
		{"short writer", set("Writer", "00"), "Writer"},
		{"no digest", drop("Digest"), "Digest"},
		{"epoch 0", set("Epoch", "0"), "Epoch"},
		{"epoch 01", set("Epoch", "01"), "Epoch"},
		{"epoch +1", set("Epoch", "+1"), "Epoch"},
		{"epoch 1_0", set("Epoch", "1_0"), "Epoch"},
		{"epoch with a space", set("Epoch", " 1"), "Epoch"},
		{"epoch over 32 bits", set("Epoch", "4294967296"), "Epoch"},
		{"seq over 64 bits", set("Seq", "18446744073709551616"), "Seq"},
		{"seq in hexadecimal", set("Seq", "0x2a"), "Seq"},
		{"no seq", drop("Seq"), "Seq"},
		{"seq in other digits", set("Seq", "４２"), "Seq"},
		{"too many tags", func(tags []Tag) []Tag { return append(tags, slices.Repeat([]Tag{{"Action", "x"}}, 128)...) }, "tags"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseRef(Address(nil), test.change(refTags(t)))
			checkRefusal(t, err, test.want)
			if foreign := test.want == ErrForeign.Error(); errors.Is(err, ErrForeign) != foreign {
				t.Errorf("got foreign %t, want %t", !foreign, foreign)
			}
		})
	}
	_, err := ParseRef("../../etc/passwd", refTags(t))
	checkRefusal(t, err, "no item id")
}

func TestCheckTagsRefusesAnotherRecord(t *testing.T) {
	item := wrapped(t, sealed(t, actionsHeader(), oneLine))
	tests := []struct {
		name   string
		change func(*Header)
		want   string
	}{
		{"the same", func(*Header) {}, ""},
		{"database", func(h *Header) { h.DB[31] = 1 }, "its tags say"},
		{"type", func(h *Header) { h.Type = TypeAck }, "its tags say"},
		{"epoch", func(h *Header) { h.Epoch = math.MaxUint32 }, "its tags say"},
		{"seq", func(h *Header) { h.Seq++ }, "its tags say"},
		{"what only the digest holds", func(h *Header) { h.Schema[0]++ }, "its tags say"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := actionsHeader()
			test.change(&h)
			r := sealed(t, h, oneLine)
			checkRefusal(t, CheckTags(&item, &r), test.want)
		})
	}
	t.Run("writer", func(t *testing.T) {
		r, err := Seal(KeyFromSeed(itemSeed), actionsHeader(), []byte(oneLine))
		if err != nil {
			t.Fatal(err)
		}
		checkRefusal(t, CheckTags(&item, &r), "its tags say")
	})
	t.Run("genesis under another database", func(t *testing.T) {
		genesis := sealed(t, genesisHeader(), "{}")
		tags := slices.Clone(wrapped(t, genesis).Tags)
		tags[4].Value = action.Digest{9}.String()
		forged, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), tags, genesis.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		checkRefusal(t, CheckTags(&forged, &genesis), "its tags say")
	})
	t.Run("foreign", func(t *testing.T) {
		r := sealed(t, actionsHeader(), oneLine)
		foreign, err := SignItem(KeyWallet(KeyFromSeed(itemSeed)), twoTags(), r.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		checkRefusal(t, CheckTags(&foreign, &r), ErrForeign.Error())
	})
}
