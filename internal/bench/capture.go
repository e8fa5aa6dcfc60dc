package main

import (
	"testing"
	"time"
)

// refusing is an archive that takes nothing: capture goes on into the outbox.
const refusing = "http://127.0.0.1:1"

// capture measures from the slot to a durable, acknowledged outbox.
func capture(b *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	conn := connect(t, s.a)
	used := s.usage(t)
	began := time.Now()
	bridge := b.start(t, "bridge", s.source(refusing), "run")
	until(t, 10*time.Millisecond, "the outbox to hold it all", []*process{bridge}, func() bool {
		return value[bool](t, conn, "SELECT confirmed_flush_lsn > $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2", s.target, s.slot)
	})
	return measure{Units: s.units, Seconds: time.Since(began).Seconds(), Total: time.Since(began).Seconds(), CPU: used.since(t, bridge)}
}

// drain measures how fast Postgres' own client reads the same from a slot.
func drain(_ *bench, t testing.TB, frozen *stage) measure {
	s := frozen.thaw(t)
	used := s.usage(t)
	began := time.Now()
	cmd := client(t, s.a, "pg_recvlogical", "--dbname="+s.a.Name, "--slot="+peerSlot, "--start", "--no-loop", "--file=/dev/null", "--endpos="+s.target,
		"--option=proto_version=1", "--option=publication_names="+s.publication)
	m := measure{Units: s.units, Seconds: time.Since(began).Seconds(), Total: time.Since(began).Seconds(), CPU: used.since(t)}
	m.addEnded("pg_recvlogical", cmd)
	return m
}
