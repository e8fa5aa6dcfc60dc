package archive

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// perShelf is how many numbers of one chain share a directory.
const perShelf = 1000

const (
	itemSuffix = ".item"
	otherDir   = "other"
	tmpDir     = "tmp"
)

// Path is where a Folder keeps the item, below its Dir.
func Path(item *Item) string {
	ref, err := item.Ref()
	if err != nil {
		return otherPath(item.ID)
	}
	return refPath(ref)
}

func otherPath(id string) string { return filepath.Join(otherDir, id[:2], id+itemSuffix) }

func refPath(r Ref) string {
	name := fmt.Sprintf("%012d-%s-%s-%s%s", r.Seq, r.Type, r.Digest, r.ID, itemSuffix)
	return filepath.Join(shelf(r.DB, r.Writer, r.Epoch, r.Seq), name)
}

// shelf is the directory of one record.
func shelf(db action.Digest, w action.Writer, epoch uint32, seq uint64) string {
	first := seq - seq%perShelf
	return filepath.Join(db.String(), w.String(), strconv.FormatUint(uint64(epoch), 10), fmt.Sprintf("%012d", first))
}

// shelves are the directories that a query looks into. MaxWindow is less than
// perShelf, so there are two at most.
func (q Query) shelves() []string {
	first, last := shelf(q.DB, q.Writer, q.Epoch, q.First), shelf(q.DB, q.Writer, q.Epoch, q.Last)
	if first == last {
		return []string{first}
	}
	return []string{first, last}
}

// spans tells whether the number at the front of a file's name is asked for.
func (q Query) spans(name string) bool {
	digits, _, _ := strings.Cut(name, "-")
	seq, err := strconv.ParseUint(digits, 10, 64)
	return err == nil && q.First <= seq && seq <= q.Last
}

// FileID is the id of the item that a Folder keeps under path.
func FileID(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), itemSuffix)
	return name[max(0, len(name)-43):]
}

// parsePath reads what refPath wrote, and nothing else.
func parsePath(path string) (Ref, error) {
	dirs := strings.Split(filepath.ToSlash(path), "/")
	if len(dirs) != 5 {
		return Ref{}, errors.New("not the path of a record")
	}
	name, id := dirs[4], FileID(dirs[4])
	rest, isItem := strings.CutSuffix(name, "-"+id+itemSuffix)
	parts := strings.Split(rest, "-")
	if !isItem || len(parts) != 3 || !ValidID(id) {
		return Ref{}, errors.New("not the name of a record")
	}
	db, err1 := action.ParseDigest(dirs[0])
	w, err2 := action.ParseWriter(dirs[1])
	epoch, err3 := strconv.ParseUint(dirs[2], 10, 32)
	seq, err4 := strconv.ParseUint(parts[0], 10, 64)
	digest, err5 := action.ParseDigest(parts[2])
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return Ref{}, err
	}
	ref := Ref{ID: id, DB: db, Writer: w, Type: Type(parts[1]), Epoch: uint32(epoch), Seq: seq, Digest: digest}
	if refPath(ref) != filepath.FromSlash(path) {
		return Ref{}, errors.New("not as a folder writes it")
	}
	return ref, nil
}
