package server

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Who asks for a server does not get another one that has its port.
func TestConnectToAnother(t *testing.T) {
	ctx := t.Context()
	from, err := Find(ctx, EngineAnswers)
	if err != nil {
		t.Fatal(err)
	}
	v, err := from.Start(ctx, []string{"-c", "fsync=off"})
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := Connect(ctx, v.URL("postgres"), "another"); err == nil || !portTaken(err) {
		t.Errorf("got %v, %v, want that the port is in use", conn, err)
	}
	if err := v.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
}

// A server with a password lets nobody in without it, and leaves nothing.
func TestPassword(t *testing.T) {
	ctx := t.Context()
	from, err := Find(ctx, EngineAnswers)
	if err != nil {
		t.Fatal(err)
	}
	from.Password = "open sesame"
	v, err := from.Start(ctx, []string{"-c", "fsync=off"})
	if err != nil {
		t.Fatal(err)
	}
	place := v.Place()
	conn, err := pgx.Connect(ctx, v.URL("postgres"))
	if err != nil {
		t.Fatalf("with the password: %v", err)
	}
	conn.Close(ctx)
	without, err := url.Parse(v.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	without.User = url.User("postgres")
	if conn, err := pgx.Connect(ctx, without.String()); err == nil || !strings.Contains(err.Error(), "password") {
		t.Errorf("without it: got %v, %v, want to be asked for a password", conn, err)
	}
	if err := v.Destroy(ctx); err != nil {
		t.Fatal(err)
	}
	kind, name, _ := strings.Cut(place, " ")
	if kind == "container" {
		_, err = docker(ctx, "container", "inspect", name)
	} else {
		_, err = os.Stat(name)
	}
	if err == nil {
		t.Errorf("%s is still there", place)
	}
}
