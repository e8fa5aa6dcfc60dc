package postgres

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

func TestDatabase(t *testing.T) {
	_, conn := migrated(t)
	if _, err := LoadDatabase(t.Context(), conn); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("no row: got %v, want ErrNoDatabase", err)
	}
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageReady, Name: "app"}); err == nil {
		t.Error("saved a ready database without an id, want an error")
	}
	begun := Database{Role: RoleWriter, Stage: StageInit, Name: `A "name"`, Publication: DefaultName, Slot: DefaultName, Scope: ScopeListed}
	ready := begun
	ready.Stage, ready.ID, ready.Genesis, ready.Slot, ready.Scope = StageReady, action.Digest{1, 2, 0xff}, []byte("\x00record"), "other", ScopeAll
	for _, want := range []Database{begun, ready} {
		if err := SaveDatabase(t.Context(), conn, want); err != nil {
			t.Fatal(err)
		}
		got, err := LoadDatabase(t.Context(), conn)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleFollower, Stage: StageInit, Name: "app"}); err != nil {
		t.Fatal(err)
	}
	got, err := LoadDatabase(t.Context(), conn)
	if err != nil || got.Publication != DefaultName || got.Slot != DefaultName {
		t.Errorf("names left empty: got %+v, %v, want %s", got, err, DefaultName)
	}
}

func TestProgress(t *testing.T) {
	_, conn := migrated(t)
	writer := action.Writer{0xab, 1}
	if _, found, err := LoadProgress(t.Context(), conn, writer); found || err != nil {
		t.Errorf("no row: got found %v, %v, want false", found, err)
	}
	first := Progress{
		Writer: writer, Epoch: 1, Seq: 1 << 40, Digest: action.Digest{9}, Txs: 3, Complete: false,
		LSN: 0x16B374D848FF, Clock: action.Clock{Micros: 1_700_000_000_000_001, Counter: 7},
		Schema: action.Digest{5}, Skip: 0x16B374D848FF,
	}
	second := first
	second.Epoch, second.Seq, second.Txs, second.Complete = 2, 1, 0, true
	second.Schema, second.Skip = action.Digest{}, 0
	for _, want := range []Progress{first, second} {
		if err := SaveProgress(t.Context(), conn, want); err != nil {
			t.Fatal(err)
		}
		got, found, err := LoadProgress(t.Context(), conn, writer)
		if age := time.Since(got.AppliedAt); age < 0 || age > time.Minute {
			t.Errorf("applied %v ago, want just now", age)
		}
		got.AppliedAt = time.Time{}
		if err != nil || !found || got != want {
			t.Errorf("got %+v, %v, %v, want %+v", got, found, err, want)
		}
	}
	other := Progress{Writer: action.Writer{1}, Epoch: 1, Seq: 1}
	if err := SaveProgress(t.Context(), conn, other); err != nil {
		t.Fatal(err)
	}
	all, err := ListProgress(t.Context(), conn)
	if err != nil || len(all) != 2 || all[0].Writer != other.Writer || all[1].Writer != writer {
		t.Errorf("got %+v, %v, want both writers in order", all, err)
	}
}
