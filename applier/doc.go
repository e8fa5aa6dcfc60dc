// Package applier is the incoming direction: it finds the records of the
// authorised writers by their numbers, checks them, and applies each writer's
// transactions in the order of its chain, exactly once.
//
//	find ─► fetch ─► open ─► order ─► group ─► apply + progress, one transaction
//
// An archive's index is a hint; order and completeness come from the signed
// headers only. Progress is written in the transaction that applies, so a crash
// repeats nothing and skips nothing, and commits need not wait for the disk: a
// crash loses data and progress together.
package applier
