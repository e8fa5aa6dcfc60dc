package postgres

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func TestLoadChain(t *testing.T) {
	_, conn := migrated(t)
	if _, err := LoadChain(t.Context(), conn); !errors.Is(err, ErrNoChain) {
		t.Errorf("no row: got %v, want ErrNoChain", err)
	}
	mustExec(t, conn, `INSERT INTO pgbridge.chain (writer, epoch, seq, digest, end_lsn, clock, system, timeline)
		VALUES (repeat('ab', 32), 2, 1099511627776, repeat('cd', 32), '1/2', '1700000000000001.7', '18446744073709551615', 3)`)
	want := Chain{
		Epoch: 2, Seq: 1 << 40, End: 1<<32 | 2, Clock: action.Clock{Micros: 1_700_000_000_000_001, Counter: 7},
		System: 1<<64 - 1, Timeline: 3, Named: Definitions{},
	}
	for i := range want.Writer {
		want.Writer[i], want.Digest[i] = 0xab, 0xcd
	}
	wantChain(t, conn, want)
	if got := want.SchemaOr(action.Digest{1}); got != (action.Digest{1}) {
		t.Errorf("schema where none is: got %s, want that of the genesis", got)
	}

	mustExec(t, conn, `UPDATE pgbridge.chain SET (part_lsn, parts, part_rows, definitions, schema) = ('1/10', 4, 5, '{"app.f": null}', repeat('ef', 32))`)
	want.Part, want.Named = Part{LSN: 1<<32 | 0x10, Parts: 4, Rows: 5}, Definitions{"app.f": json.RawMessage("null")}
	for i := range want.Schema {
		want.Schema[i] = 0xef
	}
	wantChain(t, conn, want)
	if got := want.SchemaOr(action.Digest{1}); got != want.Schema {
		t.Errorf("schema: got %s, want the chain's own", got)
	}

	mustExec(t, conn, "UPDATE pgbridge.chain SET (clock, system) = ('noon', 'here')")
	if _, err := LoadChain(t.Context(), conn); err == nil || !strings.Contains(err.Error(), "load chain") || !strings.Contains(err.Error(), "noon") || !strings.Contains(err.Error(), "here") {
		t.Errorf("got %v, want an error that has all that is wrong", err)
	}
}

func wantChain(t *testing.T, conn Querier, want Chain) {
	t.Helper()
	got, err := LoadChain(t.Context(), conn)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// What the chain and what the table of actions say is read by the same code.
func TestDefinitions(t *testing.T) {
	_, conn := migrated(t)
	application(t, conn, "CREATE FUNCTION app.f(id uuid) RETURNS void"+body)
	mustExec(t, conn, "SELECT pgbridge.register_action('app.f(uuid)')")
	texts, err := LoadDefinitions(t.Context(), conn)
	if err != nil || len(texts) != 1 || texts["app.f"] == nil {
		t.Fatalf("got %s, %v, want that of app.f", texts, err)
	}
	all, err := texts.Parse()
	if def := all[action.Name{Schema: "app", Name: "f"}]; err != nil || len(all) != 1 || def.Function != "app.f(uuid)" {
		t.Errorf("got %+v, %v, want the definition of app.f", all, err)
	}
	texts["app.g"] = json.RawMessage("{}")
	if all, err := texts.Parse(); err == nil {
		t.Errorf("got %+v, want an error", all)
	}
}
