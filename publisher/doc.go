// Package publisher is the outgoing direction: it reads the slot, builds
// records, signs each once, keeps it in the outbox, acknowledges the slot, and
// uploads from the outbox until every archive has the record for good.
//
//	slot ─► capture ─► seal ─► outbox ─► ack
//	                             └─► upload ─► confirm, one loop per archive
//
// The order is law: a record is durable in the outbox before its WAL is
// acknowledged, and leaves the outbox only after every archive has confirmed
// it. A crash anywhere costs work that is done again, never data: the slot
// sends again what was not acknowledged, and upload posts the same bytes again.
package publisher
