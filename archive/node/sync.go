package node

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// syncer brings the index up to the files: after a crash, after the index was
// lost, after items were copied into the folder while no node was running.
type syncer struct {
	folder *archive.Folder
	index  *index
	node   *Node // for its log

	found, damaged int
	told           time.Time
}

// settled is the age from which on a directory's time tells whether something
// was added: the clocks of file systems are coarse.
const settled = 4 * time.Second

// run finds the files that are not in the index and adds them, oldest first,
// each checked as an upload is. Directories that have not changed since they
// were looked at cost nothing, the others a look at their names.
func (s *syncer) run(ctx context.Context) error {
	s.told = time.Now()
	const begin = `CREATE TEMP TABLE IF NOT EXISTS missing (at INTEGER, path TEXT, PRIMARY KEY (at, path)) WITHOUT ROWID;
		CREATE TEMP TABLE IF NOT EXISTS looked (path TEXT PRIMARY KEY, modified INTEGER);
		DELETE FROM missing; DELETE FROM looked`
	if _, err := s.index.write.ExecContext(ctx, begin); err != nil {
		return s.index.fault(err)
	}
	for shelf, err := range s.folder.Shelves() {
		if err == nil {
			err = s.look(ctx, shelf)
		}
		if err != nil {
			return err
		}
	}
	if err := s.addMissing(ctx); err != nil {
		return err
	}
	_, err := s.index.write.ExecContext(ctx, "INSERT OR REPLACE INTO shelf SELECT path, modified FROM looked")
	if s.found+s.damaged > 0 {
		s.node.log().Info("indexed the files that were not in the index", "items", s.found, "damaged", s.damaged)
	}
	return s.index.fault(err)
}

// look notes which files of a shelf are missing.
func (s *syncer) look(ctx context.Context, shelf string) error {
	info, err := os.Stat(filepath.Join(s.folder.Dir, shelf))
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	modified := info.ModTime()
	var before int64
	err = s.index.write.QueryRowContext(ctx, "SELECT modified FROM shelf WHERE path = ?", shelf).Scan(&before)
	if err == nil && before == modified.UnixNano() {
		return nil
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s.index.fault(err)
	}
	files, err := s.folder.Files(shelf)
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	unknown, err := s.unknown(ctx, files)
	if err != nil {
		return err
	}
	tx, err := s.index.write.BeginTx(ctx, nil)
	if err != nil {
		return s.index.fault(err)
	}
	defer tx.Rollback() // does nothing after the commit
	for _, path := range unknown {
		info, err := os.Stat(filepath.Join(s.folder.Dir, path))
		if err != nil {
			return fmt.Errorf("read folder: %w", err)
		}
		if _, err = tx.ExecContext(ctx, "INSERT INTO missing VALUES (?, ?)", info.ModTime().UnixMilli(), path); err != nil {
			return s.index.fault(err)
		}
	}
	if time.Since(modified) > settled {
		if _, err := tx.ExecContext(ctx, "INSERT INTO looked VALUES (?, ?)", shelf, modified.UnixNano()); err != nil {
			return s.index.fault(err)
		}
	}
	return s.index.fault(tx.Commit())
}

// unknown are the paths whose items are not in the index.
func (s *syncer) unknown(ctx context.Context, paths []string) (out []string, err error) {
	byID := make(map[string]string, len(paths))
	ids := make([]string, len(paths))
	for i, path := range paths {
		ids[i] = archive.FileID(path)
		byID[ids[i]] = path
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := s.index.write.QueryContext(ctx, "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM item)", string(list))
	if err != nil {
		return nil, s.index.fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		out = append(out, byID[id])
	}
	return out, s.index.fault(rows.Err())
}

// addMissing reads the missing files in the order of their times.
func (s *syncer) addMissing(ctx context.Context) error {
	at, path := int64(-1<<62), ""
	for {
		var batch []entry
		rows, err := s.batch(ctx, at, path)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			at, path = row.at, row.path
			e, err := s.read(at, path)
			if err == nil {
				batch = append(batch, e)
			} else if err = s.damage(ctx, path, err); err != nil {
				return err
			}
		}
		if err := s.index.add(ctx, batch...); err != nil {
			return err
		}
		s.found += len(batch)
		if time.Since(s.told) > 10*time.Second {
			s.told = time.Now()
			s.node.log().Info("reading the files into the index", "items", s.found)
		}
	}
}

type missing struct {
	at   int64
	path string
}

func (s *syncer) batch(ctx context.Context, at int64, path string) (out []missing, err error) {
	const next = "SELECT at, path FROM missing WHERE (at, path) > (?, ?) ORDER BY at, path LIMIT 200"
	rows, err := s.index.write.QueryContext(ctx, next, at, path)
	if err != nil {
		return nil, s.index.fault(err)
	}
	defer rows.Close()
	for rows.Next() {
		var m missing
		if err := rows.Scan(&m.at, &m.path); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, s.index.fault(rows.Err())
}

// read checks one file as an upload is checked.
func (s *syncer) read(at int64, path string) (entry, error) {
	raw, err := os.ReadFile(filepath.Join(s.folder.Dir, path))
	if err != nil {
		return entry{}, err
	}
	item, err := archive.ParseItem(raw)
	if err != nil {
		return entry{}, err
	}
	if want := archive.Path(&item); want != path {
		return entry{}, fmt.Errorf("the item in it belongs into %s", want)
	}
	return entryOf(&item, time.UnixMilli(at)), nil
}

// damage tells of a bad file, which is no reason not to serve the others, and
// has its shelf looked at again next time.
func (s *syncer) damage(ctx context.Context, path string, why error) error {
	s.damaged++
	s.node.log().Warn("a file is damaged and is not served: replace it with a good copy, then restart", "file", path, "error", why)
	_, err := s.index.write.ExecContext(ctx, "DELETE FROM looked WHERE path = ?", filepath.Dir(path))
	return s.index.fault(err)
}
