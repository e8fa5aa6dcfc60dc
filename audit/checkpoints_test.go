package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// beside are the checkpoints of a writer, made by hand.
type beside struct {
	*writer
	chunks, manifests []archive.Item
	last              action.Digest // of the checkpoint before
}

// chunk makes the next chunk.
func (b *beside) chunk(text string) checkpoint.Chunk {
	h := b.header
	h.Type, h.Seq, h.Prev, h.Txs, h.From = archive.TypeChunk, uint64(len(b.chunks)+1), b.db, 0, h.To
	record := b.seal(h, []byte(text))
	b.chunks = append(b.chunks, b.wrap(&record))
	return checkpoint.Chunk{Epoch: 1, Seq: h.Seq, Digest: record.Digest, Rows: int64(strings.Count(text, "\n")), Size: int64(len(text)), Bytes: int64(len(record.Bytes))}
}

// manifest is one of the table post, in chunks, and of a partitioned table.
func (b *beside) manifest(texts ...string) *checkpoint.Manifest {
	part := action.Name{Schema: "public", Name: "part"}
	columns := []postgres.GenesisColumn{{Name: "id", Type: "integer"}}
	m := &checkpoint.Manifest{
		LSN: b.header.To, Heads: []checkpoint.Head{{Writer: b.key.Writer(), Epoch: 1, Seq: b.header.Seq, Digest: b.header.Prev}},
		Tables: []postgres.GenesisTable{
			{Name: part, Columns: columns, Identity: postgres.IdentityDefault, Key: []string{"id"}},
			{Name: post, Columns: append(slices.Clone(columns), postgres.GenesisColumn{Name: "title", Type: "text"}), Identity: postgres.IdentityDefault, Key: []string{"id"}},
		},
		PreData: []checkpoint.Chunk{b.schema("CREATE TABLE …")},
	}
	var all, parts checkpoint.Sum
	file := checkpoint.File{Table: post, Columns: []string{"id", "title"}}
	for _, text := range texts {
		file.Chunks = append(file.Chunks, b.chunk(text))
		_ = all.AddText([]byte(text)) // it is whole rows
	}
	m.Files = append(m.Files, file)
	for n := range 2 {
		leaf := checkpoint.File{Table: action.Name{Schema: "public", Name: fmt.Sprint("part_", n)}, Columns: []string{"id"}}
		text := fmt.Sprintf("%d\n%d\n", 10*n, 10*n+1)
		leaf.Chunks = append(leaf.Chunks, b.chunk(text))
		_ = parts.AddText([]byte(text))
		m.Files = append(m.Files, leaf)
	}
	m.State = []checkpoint.TableState{parts.State(part), all.State(post)}
	return m
}

func (b *beside) schema(text string) checkpoint.Chunk {
	c := b.chunk(text)
	c.Rows = 0
	return c
}

// checkpoint makes a checkpoint record.
func (b *beside) checkpoint(m *checkpoint.Manifest) mark {
	b.t.Helper()
	body, err := m.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	return b.signed(body)
}

func (b *beside) signed(body []byte) mark {
	h := b.header
	h.Type, h.Seq, h.Prev, h.Txs, h.From = archive.TypeCheckpoint, uint64(len(b.manifests)+1), b.last, 0, h.To
	if h.Prev.IsZero() {
		h.Prev = b.db
	}
	record := b.seal(h, body)
	b.manifests = append(b.manifests, b.wrap(&record))
	b.last = record.Digest
	return mark{h.Seq, record.Digest}
}

// confirm names a checkpoint in the chain.
func (b *beside) confirm(m mark) {
	b.next(line{write: func(body *action.Body) {
		body.Row(action.NewMark(), [][]byte{[]byte(fmt.Sprint(m.number)), []byte(m.digest.String())})
	}})
}

func TestVerifyCheckpoints(t *testing.T) {
	for _, test := range []struct {
		name        string
		change      func(b *beside, m *checkpoint.Manifest) // before it is signed
		spoil       func(t *testing.T, b *beside, a []Archive)
		faults      []string
		detail      string
		checkpoints int
		unconfirmed bool
	}{
		{name: "clean", checkpoints: 2},
		{name: "unconfirmed", unconfirmed: true, faults: []string{"unconfirmed checkpoint 2-2 has 0,1"}, checkpoints: 1},
		{
			name: "a chunk missing in one", spoil: func(t *testing.T, b *beside, a []Archive) { a[0].drop(t, b.chunks[1]) },
			faults: []string{"missing chunk 2-2 in 0 has 1"}, checkpoints: 2,
		},
		{name: "a chunk missing in both", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].drop(t, b.chunks[7])
			a[1].drop(t, b.chunks[7])
		}, faults: []string{"missing chunk 8-8"}, detail: "of checkpoint 2", checkpoints: 1},
		{
			name: "a chunk damaged in one", spoil: func(t *testing.T, b *beside, a []Archive) { a[1].spoil(t, b.chunks[1], flip) },
			faults: []string{"damaged chunk 2-2 in 1 has 0"}, checkpoints: 2,
		},
		{name: "a chunk damaged in both", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].spoil(t, b.chunks[7], half)
			a[1].spoil(t, b.chunks[7], flip)
		}, faults: []string{"damaged chunk 8-8 in 0", "damaged chunk 8-8 in 1", "missing chunk 8-8"}, checkpoints: 1},
		{
			name: "the checkpoint missing in one", spoil: func(t *testing.T, b *beside, a []Archive) { a[1].drop(t, b.manifests[0]) },
			faults: []string{"missing checkpoint 1-1 in 1 has 0"}, checkpoints: 2,
		},
		{name: "the checkpoint missing in both", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].drop(t, b.manifests[1])
			a[1].drop(t, b.manifests[1])
		}, faults: []string{"missing checkpoint 2-2"}, detail: "the chain names it", checkpoints: 1},
		{
			name: "wrong sum", change: func(b *beside, m *checkpoint.Manifest) { m.State[1].Sum[31]++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "do not add up", checkpoints: 1,
		},
		{
			name: "wrong sum of a partitioned table", change: func(b *beside, m *checkpoint.Manifest) { m.State[0].Sum[0]++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "public.part", checkpoints: 1,
		},
		{
			name: "wrong number of rows", change: func(b *beside, m *checkpoint.Manifest) { m.State[1].Rows++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "have 3 rows, the state says 4", checkpoints: 1,
		},
		{
			name: "wrong rows of a chunk", change: func(b *beside, m *checkpoint.Manifest) { m.Files[0].Chunks[0].Rows++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "chunk 7 of public.post has 2 rows", checkpoints: 1,
		},
		{
			name: "wrong size of a chunk", change: func(b *beside, m *checkpoint.Manifest) { m.Files[0].Chunks[0].Size++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "chunk 7 has", checkpoints: 1,
		},
		{
			name: "another number of a chunk", change: func(b *beside, m *checkpoint.Manifest) { m.Files[0].Chunks[0].Seq = 1 },
			faults: []string{"wrong checkpoint 2-2"}, detail: "chunk 1 of epoch 1 is number 7", checkpoints: 1,
		},
		{
			name: "wrong bytes of a chunk", change: func(b *beside, m *checkpoint.Manifest) { m.Files[0].Chunks[0].Bytes++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "chunk 7 has", checkpoints: 1,
		},
		{name: "the chain names another", unconfirmed: true, spoil: func(t *testing.T, b *beside, a []Archive) {
			b.confirm(mark{2, action.Digest{1}})
			both(t, a, b.items[len(b.items)-1])
		}, faults: []string{"unconfirmed checkpoint 2-2 has 0,1"}, checkpoints: 1},
		{name: "the chain names it by another number", unconfirmed: true, spoil: func(t *testing.T, b *beside, a []Archive) {
			b.confirm(mark{3, b.last})
			both(t, a, b.items[len(b.items)-1])
		}, faults: []string{"missing checkpoint 3-3", "unconfirmed checkpoint 2-2 has 0,1"}, checkpoints: 1},
		{name: "the chain names one that is far away", spoil: func(t *testing.T, b *beside, a []Archive) {
			b.confirm(mark{250, action.Digest{1}})
			both(t, a, b.items[len(b.items)-1])
		}, faults: []string{"missing checkpoint 250-250"}, checkpoints: 2},
		{name: "the checkpoint missing in both, and a stranger's in its place", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].drop(t, b.manifests[1])
			a[1].drop(t, b.manifests[1])
			put(t, a[0], strange(t, b.manifests[1], "Digest", strings.Repeat("ab", 32), []byte("nothing of the kind")))
		}, faults: []string{"missing checkpoint 2-2"}, checkpoints: 1},
		{name: "the one before is missing in both", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].drop(t, b.manifests[0])
			a[1].drop(t, b.manifests[0])
		}, faults: []string{"missing checkpoint 1-1"}, checkpoints: 1},
		{name: "the checkpoint damaged in both", spoil: func(t *testing.T, b *beside, a []Archive) {
			a[0].spoil(t, b.manifests[1], half)
			a[1].spoil(t, b.manifests[1], flip)
		}, faults: []string{"damaged checkpoint 2-2 in 0", "damaged checkpoint 2-2 in 1"}, checkpoints: 1},
		{
			name: "after another record", change: func(b *beside, m *checkpoint.Manifest) { m.Heads[0].Digest[0]++ },
			faults: []string{"wrong checkpoint 2-2"}, detail: "not in the chain", checkpoints: 1,
		},
		{
			name: "after another checkpoint", change: func(b *beside, _ *checkpoint.Manifest) { b.last[0]++ },
			faults: []string{"unlinked checkpoint 2-2 has 0,1"}, checkpoints: 2,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := &beside{writer: chainOf(t, 5)}
			b.confirm(b.checkpoint(b.manifest("1\tone\n2\ttwo\n", "3\tthree\n")))
			m := b.manifest("1\tone\n2\tdeux\n", "3\tthree\n")
			if test.change != nil {
				test.change(b, m)
			}
			made := b.checkpoint(m)
			if !test.unconfirmed {
				b.confirm(made)
			}
			items := slices.Concat(b.items, b.chunks, b.manifests)
			a := []Archive{folder(t, items...), folder(t, items...)}
			if test.spoil != nil {
				test.spoil(t, b, a)
			}
			r, err := (&Verify{Archives: a, DB: b.db, workers: 1}).Run(t.Context()) // one archive after the other
			if err != nil {
				t.Fatal(err)
			}
			if got := told(r, a); !slices.Equal(got, test.faults) {
				t.Errorf("faults: got\n%s\nwant\n%s\n%+v", strings.Join(got, "\n"), strings.Join(test.faults, "\n"), r.Faults)
			}
			if !slices.ContainsFunc(r.Faults, func(f Fault) bool { return strings.Contains(f.Detail, test.detail) }) && test.detail != "" {
				t.Errorf("faults: got %+v, want %q in one", r.Faults, test.detail)
			}
			if r.Checkpoints != test.checkpoints {
				t.Errorf("got %d checkpoints, want %d", r.Checkpoints, test.checkpoints)
			}
			if r.Complete.Seq != b.header.Seq || r.Strangers > 0 {
				t.Errorf("the chain is complete up to %d, with %d strangers, want %d, and none", r.Complete.Seq, r.Strangers, b.header.Seq)
			}
		})
	}
}

// A body that is no manifest, though the chain names it.
func TestVerifyUnreadableCheckpoint(t *testing.T) {
	t.Parallel()
	b := &beside{writer: chainOf(t, 3)}
	b.confirm(b.signed([]byte("{}\n")))
	a := []Archive{folder(t, slices.Concat(b.items, b.manifests)...)}
	if got := told(b.verify(t, a...), a); !slices.Equal(got, []string{"unreadable checkpoint 1-1 has 0"}) {
		t.Errorf("got %q", got)
	}
}

// A chunk that its writer signed, and that cannot be unpacked.
func TestVerifyUnreadableChunk(t *testing.T) {
	t.Parallel()
	b := &beside{writer: chainOf(t, 3)}
	m := b.manifest("1\tone\n")
	bad := &m.Files[0].Chunks[0]
	record := b.oversized(b.chunks[bad.Seq-1])
	b.chunks[bad.Seq-1], bad.Digest = b.wrap(&record), record.Digest
	b.confirm(b.checkpoint(m))
	a := []Archive{folder(t, slices.Concat(b.items, b.chunks, b.manifests)...)}
	if got, want := told(b.verify(t, a...), a), []string{"missing chunk 2-2", "unreadable chunk 2-2 in 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// oversized is the record of an item again, signed anew over a header that says
// a larger size than its body has.
func (b *beside) oversized(item archive.Item) archive.Record {
	b.t.Helper()
	parts := bytes.SplitN(item.Data, []byte("\n"), 3)
	line := regexp.MustCompile(`"size":\d+`).ReplaceAll(parts[0], []byte(`"size":4096`))
	seed := sha256.Sum256([]byte("writer"))
	signature := ed25519.Sign(ed25519.NewKeyFromSeed(seed[:]), append([]byte("pgbridge record v1\n"), line...))
	record, err := archive.Open(slices.Concat(line, []byte("\n"+base64.RawURLEncoding.EncodeToString(signature)+"\n"), parts[2]))
	if err != nil {
		b.t.Fatal(err)
	}
	return record
}

// A checkpoint that nothing confirms is told of, and nothing that it names is read.
func TestVerifyUnconfirmedCheckpoint(t *testing.T) {
	t.Parallel()
	b := &beside{writer: chainOf(t, 3)}
	b.checkpoint(b.manifest("1\tone\n"))
	a := []Archive{folder(t, slices.Concat(b.items, b.chunks, b.manifests)...)}
	r := b.verify(t, a...)
	if got := told(r, a); !slices.Equal(got, []string{"unconfirmed checkpoint 1-1 has 0"}) || r.Chunks != 0 || r.Checkpoints != 0 {
		t.Errorf("got %q, %d checkpoints, %d chunks, want one that is not confirmed, and none", got, r.Checkpoints, r.Chunks)
	}
}

// What one archive has of a checkpoint, the other gets.
func TestRepairCheckpoints(t *testing.T) {
	t.Parallel()
	b := &beside{writer: chainOf(t, 3)}
	b.confirm(b.checkpoint(b.manifest("1\tone\n2\ttwo\n", "3\tthree\n")))
	unused := b.chunk("of a checkpoint that was never finished\n")
	items := slices.Concat(b.items, b.chunks, b.manifests)
	a := []Archive{folder(t, b.items...), folder(t, items...)}
	a[1].spoil(t, b.items[2], half)
	if r := b.heal(t, nil, a...); len(r.Faults) > 0 || r.Repaired != 1+len(b.chunks)-1+1 {
		t.Errorf("got %d repaired and %+v, want %d", r.Repaired, r.Faults, 1+len(b.chunks)-1+1)
	}
	if r := b.verify(t, a[0]); len(r.Faults) > 0 || r.Checkpoints != 1 || r.Chunks != int(unused.Seq)-1 {
		t.Errorf("the first by itself: got %+v", r)
	}
}
