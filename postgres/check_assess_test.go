package postgres

import (
	"slices"
	"strings"
	"testing"
)

// What no server at hand can be brought to show.
func TestAssessServer(t *testing.T) {
	fine := serverFacts{walLevel: "logical", slots: 1, maxSlots: 10, senders: 1, maxSenders: 10, maxOrigins: 10, keep: "-1", idle: "0", fsync: true}
	writer := target{Options: Options{Role: RoleWriter}, name: "app", server: Server{Version: 150018, Text: "15.18", Encoding: "UTF8"}}
	for _, tt := range []struct {
		name   string
		change func(*target, *serverFacts)
		want   string // the findings but for the info, worst first
	}{
		{"fine", func(*target, *serverFacts) {}, ""},
		{"too old", func(t *target, _ *serverFacts) { t.server.Version = 130011 }, "fatal server-version"},
		{"oldest", func(t *target, _ *serverFacts) { t.server.Version = 140000 }, ""},
		{"newest", func(t *target, _ *serverFacts) { t.server.Version = 180099 }, ""},
		{"too new", func(t *target, _ *serverFacts) { t.server.Version = 190000 }, "warning server-version"},
		{"standby", func(t *target, _ *serverFacts) { t.server.Standby = true }, "fatal standby"},
		{"SQL_ASCII", func(t *target, _ *serverFacts) { t.server.Encoding = "SQL_ASCII" }, "fatal encoding"},
		{"LATIN1 writer", func(t *target, _ *serverFacts) { t.server.Encoding = "LATIN1" }, ""},
		{"LATIN1 follower", func(t *target, _ *serverFacts) { t.Role, t.server.Encoding = RoleFollower, "LATIN1" }, "warning encoding"},
		{"no slot free", func(_ *target, f *serverFacts) { f.slots = 10 }, "fatal free-slots"},
		{"no slot free but ours", func(_ *target, f *serverFacts) { f.slots, f.ownSlot = 10, true }, ""},
		{"no sender free", func(_ *target, f *serverFacts) { f.senders = 10 }, "fatal free-senders"},
		{"limit", func(_ *target, f *serverFacts) { f.keep = "10GB" }, "warning slot-wal-limit"},
		{"idle limit", func(_ *target, f *serverFacts) { f.idle = "1d" }, "warning slot-idle-limit"},
		{"idle limit unknown", func(_ *target, f *serverFacts) { f.idle = "" }, ""},
		{"waits for us", func(_ *target, f *serverFacts) { f.syncStandbys = `ANY 1 (a, "pgBridge")` }, "fatal synchronous"},
		{"waits for others", func(_ *target, f *serverFacts) { f.syncStandbys = "FIRST 1 (pgbridge2, a)" }, ""},
		{"before init", func(_ *target, f *serverFacts) { f.prepared, f.oldest = []string{"g"}, "01:00:00" }, "warning prepared warning long-transaction"},
		{"after init", func(t *target, f *serverFacts) {
			t.stage, f.prepared, f.oldest = StageReady, []string{"g"}, "01:00:00"
		}, ""},
		{"a follower", func(t *target, f *serverFacts) {
			t.Role = RoleFollower
			*f = serverFacts{walLevel: "replica", keep: "1GB", fsync: true, maxOrigins: 1, syncStandbys: "*"}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target, facts := writer, fine
			tt.change(&target, &facts)
			if got := brief(assessServer(target, facts)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// brief is severity and id of the findings that are more than info.
func brief(found []Finding) string {
	var list []string
	for _, f := range found {
		if f.Severity != Info {
			list = append(list, string(f.Severity)+" "+f.ID)
		}
	}
	return strings.Join(list, " ")
}

func TestAssessSlot(t *testing.T) {
	ready := target{Options: Options{Role: RoleWriter, Slot: "pgbridge"}, name: "app", stage: StageReady}
	good := slotFacts{Plugin: "pgoutput", Type: "logical", Database: "app", WALStatus: "reserved", Active: true, held: "16 MB"}
	for _, tt := range []struct {
		name   string
		change func(*slotFacts)
		want   string
	}{
		{"good", func(*slotFacts) {}, ""},
		{"inactive", func(f *slotFacts) { f.Active = false }, ""},
		{"physical", func(f *slotFacts) { *f = slotFacts{Type: "physical"} }, "fatal slot-taken"},
		{"of another database", func(f *slotFacts) { f.Database = "other" }, "fatal slot-taken"},
		{"temporary", func(f *slotFacts) { f.Temporary = true }, "fatal slot-shape"},
		{"two-phase", func(f *slotFacts) { f.TwoPhase = true }, "fatal slot-shape"},
		{"synced", func(f *slotFacts) { f.Synced = true }, "fatal slot-synced"},
		{"extended", func(f *slotFacts) { f.WALStatus = "extended" }, ""},
		{"unreserved", func(f *slotFacts) { f.WALStatus = "unreserved" }, "warning slot-unreserved"},
		{"lost", func(f *slotFacts) { f.WALStatus = "lost" }, "fatal slot-lost"},
		{"conflicting", func(f *slotFacts) { f.Conflicting = true }, "fatal slot-lost"},
		{"invalidated", func(f *slotFacts) { f.Invalidation = "idle_timeout" }, "fatal slot-lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts := good
			tt.change(&facts)
			found := assessSlot(ready, &facts)
			if got := brief(found); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if facts.Invalidation != "" && !strings.Contains(found[0].Problem, facts.Invalidation) {
				t.Errorf("got %v, want the reason", found[0])
			}
		})
	}
	if got := brief(assessSlot(ready, nil)); got != "fatal slot-missing" {
		t.Errorf("no slot: got %q, want fatal slot-missing", got)
	}
}

func TestAssessWatch(t *testing.T) {
	for _, tt := range []struct {
		name    string
		stage   Stage
		watched bool
		facts   watchFacts
		want    []string
	}{
		{"all well", StageReady, true, watchFacts{}, nil},
		{"before init, as a superuser", "", false, watchFacts{superuser: true}, nil},
		{"before init", "", false, watchFacts{}, []string{"schema-changes"}},
		{"after an init without superuser", StageReady, false, watchFacts{}, []string{"schema-changes"}},
		{"set up by an older pgbridge", StageReady, false, watchFacts{superuser: true}, []string{"schema-changes"}},
		{"switched off", StageReady, true, watchFacts{off: true}, []string{"event-triggers-off"}},
		{"others come first", StageReady, true, watchFacts{before: []string{"audit"}}, []string{"event-triggers-first"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := assessWatch(target{Options: Options{Role: RoleWriter}, stage: tt.stage, watched: tt.watched}, tt.facts)
			wantIDs(t, found, Warning, tt.want...)
		})
	}
}

func TestCheckSchema(t *testing.T) {
	_, conn, _ := watched(t, ScopeAll)
	wantWatch := func(want ...string) {
		t.Helper()
		var got []string
		for _, id := range ids(check(t, conn, Options{}), Warning) {
			if id == "schema-changes" || id == "event-triggers-first" || id == "partition-new" {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	mustExec(t, conn, "CREATE TABLE public.r (x int) PARTITION BY LIST (x)") // whose partitions are seen to
	wantWatch()
	mustExec(t, conn, "CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER audit ON ddl_command_end EXECUTE FUNCTION public.e()")
	wantWatch("event-triggers-first")
	mustExec(t, conn, "ALTER EVENT TRIGGER pgbridge_rewrite DISABLE")
	wantWatch("partition-new", "schema-changes", "event-triggers-first")
}
