package archive

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgbridge/pgbridge/action"
)

// The tags of an item that wraps a record (docs/wire.md, section 6). They are
// an index and nothing more: the signed header says all of it again.
const (
	appName = "pgbridge"
	// contentType is not registered. It is under application/ so that no
	// gateway or browser shows or changes a record: its body is binary.
	contentType = "application/x-pgbridge"
	tagAction   = "Action"
)

// ErrForeign is wrapped by Item.Ref and ParseRef: the item does not claim to
// be pgbridge's. Bundlers and gateways are full of those.
var ErrForeign = errors.New("not an item of pgbridge")

// Wrap signs an item around r. The tags name the record, and its actions as
// far as there is room: each distinct name once, in the order given, skipping
// those that are not printable ASCII or do not fit. Pass no actions for a
// database whose bodies are not public.
func Wrap(w Wallet, r *Record, actions []string) (Item, error) {
	tags := []Tag{
		{"App-Name", appName},
		{"App-Version", strconv.Itoa(Version)},
		{"Content-Type", contentType},
		{"Type", string(r.Header.Type)},
		{"DB-ID", r.DB().String()},
		{"Writer", r.Header.Writer.String()},
		{"Epoch", strconv.FormatUint(uint64(r.Header.Epoch), 10)},
		{"Seq", strconv.FormatUint(r.Header.Seq, 10)},
		{"Digest", r.Digest.String()},
	}
	item, err := SignItem(w, appendActions(tags, actions), r.Bytes)
	if err != nil {
		return Item{}, fmt.Errorf("wrap record %d: %w", r.Header.Seq, err)
	}
	return item, nil
}

func appendActions(tags []Tag, actions []string) []Tag {
	room := maxTagBytes - 3 // the count, two bytes at most, and the end
	for _, tag := range tags {
		room -= tagSize(tag)
	}
	seen := make(map[string]bool, len(actions))
	for _, name := range actions {
		if len(tags) == maxTags {
			break
		}
		tag := Tag{tagAction, name}
		if seen[name] || !printable(name) || tag.check() != nil || tagSize(tag) > room {
			continue
		}
		seen[name] = true
		room -= tagSize(tag)
		tags = append(tags, tag)
	}
	return tags
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Ref reads what the tags say the item is, as ParseRef does.
func (i *Item) Ref() (Ref, error) { return ParseRef(i.ID, i.Tags) }

// ParseRef reads what an index says of an item: every tag of Wrap once, Action
// as often as it likes, tags it does not know left alone. It wraps ErrForeign
// when the item does not claim to be pgbridge's.
func ParseRef(id string, tags []Tag) (Ref, error) {
	if !ValidID(id) {
		return Ref{}, fmt.Errorf("read tags: %.50q is no item id", id)
	}
	if !slices.Contains(tags, Tag{"App-Name", appName}) {
		return Ref{}, fmt.Errorf("read tags of %s: %w", id, ErrForeign)
	}
	if len(tags) > maxTags {
		return Ref{}, fmt.Errorf("read tags of %s: %d tags, at most %d are allowed", id, len(tags), maxTags)
	}
	values := make(map[string]string, len(tags))
	for _, tag := range tags {
		if _, twice := values[tag.Name]; twice && tag.Name != tagAction {
			return Ref{}, fmt.Errorf("read tags of %s: %.50q is there twice", id, tag.Name)
		}
		values[tag.Name] = tag.Value
	}
	ref, err := refOf(values)
	if err != nil {
		return Ref{}, fmt.Errorf("read tags of %s: %w", id, err)
	}
	ref.ID = id
	return ref, nil
}

func refOf(values map[string]string) (ref Ref, err error) {
	if v := values["App-Version"]; v != strconv.Itoa(Version) {
		return Ref{}, fmt.Errorf("tag App-Version %.50q is not known to this pgbridge: update it", v)
	}
	if v := values["Content-Type"]; v != contentType {
		return Ref{}, fmt.Errorf("tag Content-Type is %.50q, not %s", v, contentType)
	}
	if ref.Type = Type(values["Type"]); !ref.Type.valid() {
		return Ref{}, fmt.Errorf("tag Type %.50q is not known to this pgbridge: update it", ref.Type)
	}
	if ref.DB, err = action.ParseDigest(values["DB-ID"]); err != nil {
		return Ref{}, fmt.Errorf("tag DB-ID: %w", err)
	}
	if ref.Writer, err = action.ParseWriter(values["Writer"]); err != nil {
		return Ref{}, fmt.Errorf("tag Writer: %w", err)
	}
	epoch, err := parseCount(values["Epoch"], 32)
	if err != nil {
		return Ref{}, fmt.Errorf("tag Epoch: %w", err)
	}
	ref.Epoch = uint32(epoch)
	if ref.Seq, err = parseCount(values["Seq"], 64); err != nil {
		return Ref{}, fmt.Errorf("tag Seq: %w", err)
	}
	if ref.Digest, err = action.ParseDigest(values["Digest"]); err != nil {
		return Ref{}, fmt.Errorf("tag Digest: %w", err)
	}
	return ref, nil
}

// parseCount reads a decimal number from 1, as it is written: no sign, no zero
// in front.
func parseCount(s string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.50q is not a number from 1 in %d bits", s, bits)
	}
	return n, nil
}

// CheckTags refuses an item whose tags disagree with the signed header of the
// record in it.
func CheckTags(i *Item, r *Record) error {
	claim, err := i.Ref()
	if err != nil {
		return err
	}
	h := &r.Header
	truth := Ref{ID: i.ID, DB: r.DB(), Writer: h.Writer, Type: h.Type, Epoch: h.Epoch, Seq: h.Seq, Digest: r.Digest}
	if claim != truth {
		return fmt.Errorf("item %s: its tags say %s, the signed record in it is %s", i.ID, claim.what(), truth.what())
	}
	return nil
}

func (r Ref) what() string {
	return fmt.Sprintf("%s %d of epoch %d by %s in database %s, digest %s", r.Type, r.Seq, r.Epoch, r.Writer, r.DB, r.Digest)
}
