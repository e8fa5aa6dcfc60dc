package integration

import (
	"os"
	"testing"
)

// The page for disasters is followed as a reader would, and the disasters happen
// where it says so. In the end all that is left to follow is equal to the source.
func TestRestoreGuide(t *testing.T) {
	t.Parallel()
	g := newGuide(t, "../docs/restore.md")
	g.once = true // a restore, or a repair, is not the same when it is repeated
	folder := t.TempDir()
	g.archive += ",dir://" + folder
	events := map[string]func(){
		"all servers are lost": func() { g.kill("source"); g.kill("follower") },
		"nothing was lost": func() {
			for _, place := range []string{"source", "follower"} {
				g.running[place] = g.site(t, place).start(t, "run")
			}
		},
		"the follower is lost": func() {
			g.kill("follower")
			delete(g.sites, "follower")
		},
		"the archive is damaged": func() {
			published(t, g.site(t, "source").db)
			remove(t, folder, 2)
			shorten(t, folder, 3)
		},
		"somebody wrote to the follower": func() {
			source, follower := g.site(t, "source").db, g.site(t, "follower").db
			sameData(t, source, follower)
			follower.Exec(t, `DELETE FROM app.post WHERE id = 501`)
			source.Exec(t, `UPDATE app.post SET title = 'changed' WHERE id = 501`)
			if code := g.running["follower"].wait(t); code != 3 {
				t.Errorf("the follower ended with exit code %d, want 3", code)
			}
		},
	}
	for _, s := range readGuide(t, g.page) {
		if s.event == "" {
			g.settle(t, s.place)
			g.run(t, s)
			continue
		}
		happen := events[s.event]
		if happen == nil {
			t.Fatalf("%s:%d: nobody knows how %q happens", g.page, s.line, s.event)
		}
		happen()
		delete(events, s.event)
	}
	if len(events) > 0 {
		t.Errorf("did not happen: %v", events)
	}
	for _, place := range []string{"follower", "newer"} {
		sameData(t, g.site(t, "source").db, g.site(t, place).db)
	}
}

// kill kills what runs at a place.
func (g *guide) kill(place string) {
	g.running[place].kill()
	delete(g.running, place)
}

// settle waits until the archive has what was done at the source, so that another
// place finds it there; and tells commands where the spare is.
func (g *guide) settle(t *testing.T, place string) {
	t.Helper()
	if g.running["source"] != nil {
		published(t, g.site(t, "source").db)
	}
	if place == "source" {
		s := g.site(t, place)
		s.env = append(s.env, "SPARE="+g.site(t, "spare").db.URL())
	}
}

// shorten takes half of record seq of the only chain.
func shorten(t testing.TB, dir string, seq uint64) {
	t.Helper()
	r := remove(t, dir, seq)
	if err := os.WriteFile(r.path, r.raw[:len(r.raw)/2], 0o600); err != nil {
		t.Fatal(err)
	}
}
