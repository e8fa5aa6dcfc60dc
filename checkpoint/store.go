package checkpoint

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// store brings chunks to the archives, each content once. Its memory is
// pgbridge.chunk: a row that names all archives is proof that they have it.
type store struct {
	key      archive.Key
	wallet   archive.Wallet
	deliver  deliver
	header   archive.Header                  // of a chunk, but for its number
	places   []string                        // names of the archives
	mu       sync.Mutex                      // of what follows
	under    map[action.Digest]chan struct{} // contents on their way; closed when they are there
	conn     *pgx.Conn
	next     uint64 // number to give to a chunk
	reserved uint64 // the last number that may be given without asking
	chunks   int    // kept so far, found or sent
	sent     int    // those that were sent
	size     int64
	bytes    int64
	newBytes int64
}

func (m *Maker) newStore(conn *pgx.Conn, d postgres.Database, s *snapshot) *store {
	return &store{
		key: m.Key, wallet: m.wallet(), conn: conn, places: m.places(), under: map[action.Digest]chan struct{}{},
		deliver: deliver{to: m.Archives, log: m.logger()},
		header: archive.Header{
			Type: archive.TypeChunk, DB: d.ID, Epoch: s.head.Epoch, Prev: d.ID, From: s.position.LSN, To: s.position.LSN,
			System: s.head.system, Timeline: s.head.timeline, Schema: s.head.schema,
		},
		next: 1, // and none is reserved
	}
}

// keep makes sure that all archives have a chunk with the text of p. It may be
// called concurrently. p.text is given back as soon as it is not needed any more.
func (s *store) keep(ctx context.Context, p piece) (Chunk, error) {
	done, err := s.claim(ctx, p.content)
	if err != nil {
		return Chunk{}, err
	}
	defer done()
	chunk, found, err := s.find(ctx, p.content)
	if err != nil {
		return Chunk{}, err
	}
	if !found {
		if chunk, err = s.add(ctx, p); err != nil {
			return Chunk{}, err
		}
	} else {
		p.free()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks++
	s.size += chunk.Size
	s.bytes += chunk.Bytes
	if !found {
		s.sent++
		s.newBytes += chunk.Bytes
	}
	return chunk, nil
}

// claim makes content one goroutine's, until it calls done: two tables may hold the
// same.
func (s *store) claim(ctx context.Context, content action.Digest) (done func(), err error) {
	mine := make(chan struct{})
	for {
		s.mu.Lock()
		other := s.under[content]
		if other == nil {
			s.under[content] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.under, content)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// keepText is keep for a text of any length that is not rows.
func (s *store) keepText(ctx context.Context, text string) ([]Chunk, error) {
	chunks := []Chunk{}
	for len(text) > 0 {
		n := min(len(text), chunkSize)
		chunk, err := s.keep(ctx, piece{text: []byte(text[:n]), content: sha256.Sum256([]byte(text[:n]))})
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, chunk)
		text = text[n:]
	}
	return chunks, nil
}

func (s *store) fresh() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// find looks for a chunk that all archives have.
func (s *store) find(ctx context.Context, content action.Digest) (c Chunk, found bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, err := s.conn.Query(ctx, `SELECT seq, digest, row_count, size, bytes FROM pgbridge.chunk WHERE epoch = $1 AND content = $2 AND archives @> $3`,
		int64(s.header.Epoch), content.String(), s.places)
	if err != nil {
		return Chunk{}, false, fmt.Errorf("look for a chunk: %w", err)
	}
	c.Epoch = s.header.Epoch
	var digest string
	_, err = pgx.ForEachRow(rows, []any{&c.Seq, &digest, &c.Rows, &c.Size, &c.Bytes}, func() (err error) {
		found = true
		c.Digest, err = action.ParseDigest(digest)
		return err
	})
	if err != nil {
		return Chunk{}, false, fmt.Errorf("look for a chunk: %w", err)
	}
	return c, found, nil
}

// add seals a new chunk and sends it. Its number is reserved for good before any
// archive sees it, so that no other record ever gets it; that all archives have it
// is noted last. A crash in between costs the chunk, which is then made anew under
// another number.
func (s *store) add(ctx context.Context, p piece) (Chunk, error) {
	seq, err := s.number(ctx)
	if err != nil {
		return Chunk{}, err
	}
	c, item, err := s.seal(seq, p)
	if err != nil {
		return Chunk{}, err
	}
	p.free()
	if err := s.deliver.all(ctx, item.ID, item.Bytes); err != nil {
		return Chunk{}, fmt.Errorf("send chunk %d: %w", c.Seq, err)
	}
	return c, s.note(ctx, p.content, c)
}

// reserve is how many numbers are reserved at once: each time waits for the disk
// of a server that has other things to write.
const reserve = 16

// number gives a number away.
func (s *store) number(ctx context.Context) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next > s.reserved {
		var given int64
		err := s.conn.QueryRow(ctx, `INSERT INTO pgbridge.chunk_number AS n (epoch, given) VALUES ($1, $2)
			ON CONFLICT (epoch) DO UPDATE SET given = n.given + $2 RETURNING given`, int64(s.header.Epoch), reserve).Scan(&given)
		if err != nil {
			return 0, fmt.Errorf("reserve numbers of chunks: %w", err)
		}
		s.next, s.reserved = uint64(given)-reserve+1, uint64(given)
	}
	s.next++
	return s.next - 1, nil
}

// note remembers that all archives have a chunk. It is not waited for: what a
// crash forgets is only sent again, and the mark of the checkpoint comes after it.
func (s *store) note(ctx context.Context, content action.Digest, c Chunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.conn.Exec(ctx, `WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))
		INSERT INTO pgbridge.chunk (epoch, seq, content, digest, row_count, size, bytes, archives)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8::text[] FROM quick
		ON CONFLICT (epoch, content) DO UPDATE SET (seq, digest, row_count, size, bytes, archives) =
			(excluded.seq, excluded.digest, excluded.row_count, excluded.size, excluded.bytes, excluded.archives)`,
		int64(c.Epoch), int64(c.Seq), content.String(), c.Digest.String(), c.Rows, c.Size, c.Bytes, s.places)
	if err != nil {
		return fmt.Errorf("note chunk %d: %w", c.Seq, err)
	}
	return nil
}

// seal makes the record of a new chunk, and wraps it.
func (s *store) seal(seq uint64, p piece) (Chunk, archive.Item, error) {
	h := s.header
	h.Seq = seq
	record, err := archive.Seal(s.key, h, p.text)
	if err != nil {
		return Chunk{}, archive.Item{}, err
	}
	item, err := archive.Wrap(s.wallet, &record, nil)
	if err != nil {
		return Chunk{}, archive.Item{}, fmt.Errorf("wrap chunk %d: %w", h.Seq, err)
	}
	return Chunk{Epoch: h.Epoch, Seq: h.Seq, Digest: record.Digest, Rows: p.rows, Size: int64(len(p.text)), Bytes: int64(len(record.Bytes))}, item, nil
}
