package postgres

import (
	"context"
	"fmt"
	"strconv"
)

// Supported major versions of the server.
const (
	OldestMajor = 14
	NewestMajor = 18
)

// Server is what does not change while a connection lives, but for Timeline and
// Standby.
type Server struct {
	Version  int    // server_version_num: 150018 is 15.18
	Text     string // server_version: 15.18 (Debian 15.18-0+deb12u1)
	System   uint64 // system identifier of the cluster
	Timeline uint32 // 0 on a standby
	Standby  bool
	Encoding string // of the database
	Collate  string
	CType    string
}

// Major is the major version.
func (s Server) Major() int { return s.Version / 10000 }

// LoadServer asks the server who it is.
func LoadServer(ctx context.Context, q Querier) (Server, error) {
	// The first eight digits of the name of the current WAL file are the
	// timeline; pg_control_checkpoint() would lag behind after a promotion.
	const query = `SELECT current_setting('server_version_num')::int, current_setting('server_version'),
			(SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
			CASE WHEN pg_is_in_recovery() THEN '00000000' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
			pg_is_in_recovery(), pg_encoding_to_char(encoding), datcollate, datctype
		FROM pg_catalog.pg_database WHERE datname = current_database()`
	var (
		s                Server
		system, timeline string
	)
	err := q.QueryRow(ctx, query).Scan(&s.Version, &s.Text, &system, &timeline, &s.Standby, &s.Encoding, &s.Collate, &s.CType)
	if err != nil {
		return Server{}, fmt.Errorf("ask the server who it is: %w", err)
	}
	if s.System, err = strconv.ParseUint(system, 10, 64); err != nil {
		return Server{}, fmt.Errorf("system identifier: %w", err)
	}
	t, err := strconv.ParseUint(timeline, 16, 32)
	if err != nil {
		return Server{}, fmt.Errorf("timeline: %w", err)
	}
	s.Timeline = uint32(t)
	return s, nil
}
