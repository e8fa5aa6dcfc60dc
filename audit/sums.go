package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
)

// prove adds up what a confirmed checkpoint consists of.
func (c *copies) prove(ctx context.Context, m mark) error {
	manifest, err := c.fetch(ctx, m)
	if err != nil {
		return err
	}
	whole := true
	wrong := func(format string, args ...any) {
		whole = false
		c.report.add(Fault{Kind: Wrong, Type: archive.TypeCheckpoint, Epoch: c.owner.epoch, First: m.number, Last: m.number, Detail: fmt.Sprintf(format, args...)})
	}
	for _, chunk := range manifest.Chunks() {
		p := c.used[chunk.Digest]
		switch {
		case p == nil || !p.got:
			whole = false
			c.report.add(Fault{
				Kind: Missing, Type: archive.TypeChunk, Epoch: chunk.Epoch, First: chunk.Seq, Last: chunk.Seq,
				Detail: fmt.Sprintf("of checkpoint %d", m.number),
			})
		case p.Epoch != chunk.Epoch || p.Seq != chunk.Seq:
			wrong("chunk %d of epoch %d is number %d of epoch %d", chunk.Seq, chunk.Epoch, p.Seq, p.Epoch)
		case p.size != chunk.Size || p.bytes != chunk.Bytes:
			wrong("chunk %d has %d bytes (%d as stored), the manifest says %d (%d)", chunk.Seq, p.size, p.bytes, chunk.Size, chunk.Bytes)
		}
	}
	if whole {
		for _, text := range sums(&manifest, c.used) {
			wrong("%s", text)
		}
		if err := c.heads(ctx, &manifest, wrong); err != nil {
			return err
		}
	}
	if whole {
		c.report.Checkpoints++
	}
	return nil
}

// fetch reads a manifest again: no more than one is kept at a time.
func (c *copies) fetch(ctx context.Context, m mark) (manifest checkpoint.Manifest, err error) {
	s := c.owner
	s.kind = archive.TypeCheckpoint
	found, err := look(ctx, c.desk, s.at(m.number), func(_ *archive.Record, body []byte) (checkpoint.Manifest, error) {
		return checkpoint.ParseManifest(body)
	})
	if err != nil {
		return manifest, err
	}
	got, ok := found.contents[m.digest]
	if !ok {
		return manifest, fmt.Errorf("checkpoint %d was there and is gone: verify again", m.number)
	}
	return got.value, got.err
}

// heads compares the records that the checkpoint follows with the chain.
func (c *copies) heads(ctx context.Context, m *checkpoint.Manifest, wrong func(string, ...any)) error {
	for _, h := range m.Heads {
		q := series{db: c.DB, writer: h.Writer, epoch: h.Epoch}.at(h.Seq)
		found, err := look(ctx, c.desk, q, func(*archive.Record, []byte) (struct{}, error) { return struct{}{}, nil })
		if err != nil {
			return err
		}
		if _, ok := found.contents[h.Digest]; !ok && len(found.contents) > 0 {
			wrong("it follows record %d as %s, which is not in the chain", h.Seq, h.Digest)
		}
	}
	return nil
}

// tally is what tables must hold, and what files hold for them.
type tally struct {
	tables    []string
	want, got checkpoint.Sum
}

// sums compares the rows of the chunks with the state that the manifest tells.
func sums(m *checkpoint.Manifest, used map[action.Digest]*piece) (wrong []string) {
	all := tallies(m)
	for _, f := range m.Files {
		t := all[tallyOf(m, f.Table, f.Columns)]
		if t == nil {
			wrong = append(wrong, fmt.Sprintf("the state of %s is not in the manifest", f.Table))
			continue
		}
		for _, chunk := range f.Chunks {
			p := used[chunk.Digest]
			if !p.lines || p.sum.Rows() != chunk.Rows {
				wrong = append(wrong, fmt.Sprintf("chunk %d of %s has %d rows, the manifest says %d", chunk.Seq, f.Table, p.sum.Rows(), chunk.Rows))
			}
			t.got.Merge(&p.sum)
		}
	}
	for _, t := range all {
		switch tables := strings.Join(t.tables, ", "); {
		case t.got.Rows() != t.want.Rows():
			wrong = append(wrong, fmt.Sprintf("the chunks of %s have %d rows, the state says %d", tables, t.got.Rows(), t.want.Rows()))
		case t.got != t.want:
			wrong = append(wrong, fmt.Sprintf("the rows in the chunks of %s do not add up to its state", tables))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// tallies are what the tables must hold.
func tallies(m *checkpoint.Manifest) map[string]*tally {
	columns := map[action.Name][]string{}
	for _, t := range m.Tables {
		for _, c := range t.Columns {
			columns[t.Name] = append(columns[t.Name], c.Name)
		}
	}
	all := map[string]*tally{}
	for _, s := range m.State {
		key := tallyOf(m, s.Table, columns[s.Table])
		if all[key] == nil {
			all[key] = &tally{}
		}
		t := all[key]
		t.tables = append(t.tables, s.Table.String())
		t.want.MergeState(s)
	}
	return all
}

// tallyOf tells what is added up together: a table that is one file, or all
// partitioned tables with the same columns. A partition is a file by itself, and
// nothing says of which table.
func tallyOf(m *checkpoint.Manifest, table action.Name, columns []string) string {
	file := slices.ContainsFunc(m.Files, func(f checkpoint.File) bool { return f.Table == table })
	state := slices.ContainsFunc(m.State, func(s checkpoint.TableState) bool { return s.Table == table })
	if file && state {
		return table.String()
	}
	return fmt.Sprintf("%q", columns)
}
