package audit

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
)

// fanout is into how many piles one is sorted.
const fanout = 64

// sorter sorts entries into piles by their keys: all of one row are in one, in
// their order.
type sorter struct {
	piles []*pile
	seed  maphash.Seed
	// moved are the keys of rows that got another key while some of their columns
	// stayed unknown: they are where they were. Shared by all sorters.
	moved map[string]string
}

func newSorter(dir, name string, moved map[string]string) (*sorter, error) {
	s := &sorter{seed: maphash.MakeSeed(), moved: moved}
	for i := range fanout {
		p, err := newPile(dir, fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			s.remove()
			return nil, err
		}
		s.piles = append(s.piles, p)
	}
	return s, nil
}

func (s *sorter) remove() {
	for _, p := range s.piles {
		p.remove()
	}
}

// add puts an entry where its row is.
func (s *sorter) add(e *entry) error {
	if e.op == emptyRows || e.op == forgetRows {
		for _, p := range s.piles {
			if err := p.add(e); err != nil {
				return err
			}
		}
		return nil
	}
	place := placeOf(e.table, e.key)
	if from, ok := s.moved[place]; ok {
		place = from
	}
	return s.piles[maphash.String(s.seed, place)%fanout].add(e)
}

// placeOf names a row.
func placeOf(table int, key []byte) string {
	return string(append(binary.AppendUvarint(nil, uint64(table)), key...))
}
