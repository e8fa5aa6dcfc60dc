// Package archive holds what is kept for ever: records (what a writer signs),
// items (a record wrapped as an ANS-104 data item) and every place that stores
// items and finds them again: bundlers, gateways, pgbridge's own node, folders.
//
// An archive is not trusted. Its index is a hint, its bytes prove themselves:
// Open checks a record against the writer's key, and the chain of records says
// what is missing. Nothing in this package knows Postgres.
package archive
