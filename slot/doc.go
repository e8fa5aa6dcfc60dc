// Package slot is the I/O of the replication connection: it makes and drops
// logical slots, reads their stream and acknowledges it. What the bytes mean
// is package decoder's business.
package slot
