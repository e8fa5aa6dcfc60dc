// Package checkpoint makes whole-database copies and loads them: a signed
// manifest, and the chunks that it names by digest. A restore that begins with
// one need not replay what happened before it.
//
//	slot ─► snapshot ─► pg_dump, COPY ─► chunks ─► archives ─► manifest ─► mark in the WAL ─► archives
//	archives ─► manifest that the chain names ─► schema ─► COPY ─► indexes ─► the chain after it
//
// A chunk is sent once: it is known by the hash of its content. A checkpoint counts
// when the chain names it, and the chain names it when all of its chunks are in
// all archives.
package checkpoint
