// Package decoder turns the bytes of pgoutput, protocol version 1, into
// actions. It is pure: no I/O, no clock, no goroutine, no logger.
//
// Source: PostgreSQL documentation, "Logical Replication Message Formats".
// Messages of later protocol versions (streamed and prepared transactions) are
// not asked for by package slot, and refused by name here.
package decoder
