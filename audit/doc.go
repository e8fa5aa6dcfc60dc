// Package audit reads what archives hold and says what it is worth: whether the
// chain of a database is whole and its checkpoints can be trusted, what happened
// to a row, what changed between two moments, and whether a live database holds
// what the log says it must.
//
// It believes nothing but signatures and digests. It never writes to a database,
// and to an archive only what another archive proves to belong there.
package audit
