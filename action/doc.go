// Package action holds the words that every part of pgbridge shares: positions
// in the WAL, identities, and the actions of a transaction with their one
// written form, the body of an actions record (docs/wire.md, section 4).
//
// The package is pure: standard library only, no I/O, no clock, no goroutine,
// no logger.
package action
