package postgres

import (
	"slices"
	"testing"
)

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name, text, table, references string
		phase                         Phase
		alone                         bool
	}{
		{"primary key", "ALTER TABLE ONLY app.users\n    ADD CONSTRAINT users_pkey PRIMARY KEY (id)", "app.users", "", PhaseIndexes, true},
		{"quoted names", "ALTER TABLE ONLY app.\"Odd \"\" name\"\n    ADD CONSTRAINT \"a b\" UNIQUE (id)", `app."Odd "" name"`, "", PhaseIndexes, true},
		{"exclusion", "ALTER TABLE ONLY public.r\n    ADD CONSTRAINT e EXCLUDE USING gist (x WITH &&)", "public.r", "", PhaseIndexes, true},
		{"index", "CREATE INDEX i ON app.users USING btree (name)", "app.users", "", PhaseIndexes, false},
		{"unique index of a partitioned table", "CREATE UNIQUE INDEX \"I\" ON ONLY app.\"Big\" USING btree (name)", `app."Big"`, "", PhaseIndexes, false},
		{"name in another script", "CREATE INDEX i ON app.täglich USING btree (name)", "app.täglich", "", PhaseIndexes, false},
		{"attach", "ALTER INDEX app.i ATTACH PARTITION app.i1", "", "", PhaseAttach, false},
		{"cluster", "ALTER TABLE app.users CLUSTER ON users_pkey", "", "", PhaseAttach, false},
		{"identity", "ALTER TABLE ONLY app.users REPLICA IDENTITY USING INDEX i", "", "", PhaseAttach, false},
		{"statistics", "CREATE STATISTICS app.s (dependencies) ON a, b FROM app.users", "", "", PhaseAttach, false},
		{"foreign key", "ALTER TABLE ONLY app.posts\n    ADD CONSTRAINT f FOREIGN KEY (a, b) REFERENCES app.users(a, b) ON DELETE CASCADE", "app.posts", "app.users", PhaseForeignKeys, true},
		{"foreign key of a partitioned table", "ALTER TABLE app.posts\n    ADD CONSTRAINT f FOREIGN KEY (\"a) REFERENCES x\") REFERENCES app.\"U\"(a)", "app.posts", `app."U"`, PhaseForeignKeys, true},
		{"check", "ALTER TABLE app.posts\n    ADD CONSTRAINT c CHECK ((a > 0)) NOT VALID", "", "", PhaseRest, false},
		{"trigger", "CREATE TRIGGER t BEFORE INSERT ON app.posts FOR EACH ROW EXECUTE FUNCTION app.f()", "", "", PhaseRest, false},
		{"comment", "COMMENT ON INDEX app.i IS 'CREATE INDEX i ON app.users USING x'", "", "", PhaseRest, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, err := Steps("CREATE RULE r AS ON INSERT TO app.a DO NOTHING;\n\n" + c.text + ";\n\n")
			if err != nil || len(steps) != 2 {
				t.Fatalf("got %v, %v, want two steps", steps, err)
			}
			want := Step{1, c.phase, c.table, c.references, c.alone, c.text}
			if steps[1] != want {
				t.Errorf("got %+v, want %+v", steps[1], want)
			}
		})
	}
}

func TestStepsRefuse(t *testing.T) {
	if _, err := Steps("CREATE INDEX i ON t (a);\nDROP TABLE t;\n"); err == nil {
		t.Error("DROP TABLE: got no error")
	}
}

func TestNeeds(t *testing.T) {
	extensions, roles, err := Needs("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\nCREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;\n",
		"CREATE POLICY p ON app.t FOR SELECT TO reader, \"Odd \"\"role\" USING ((a TO_B(c)));\nCREATE POLICY q ON app.t TO reader;\nCREATE POLICY r ON app.t WITH CHECK (true);\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"pg_trgm", "uuid-ossp"}; !slices.Equal(extensions, want) {
		t.Errorf("extensions: got %q, want %q", extensions, want)
	}
	if want := []string{`Odd "role`, "reader"}; !slices.Equal(roles, want) {
		t.Errorf("roles: got %q, want %q", roles, want)
	}
}

func TestAssessSource(t *testing.T) {
	here := sourceFacts{
		server: Server{Version: 150018, Encoding: "UTF8", Collate: "C", CType: "C"}, name: "x",
		available: []string{"plpgsql"}, roles: []string{"postgres"},
	}
	same := GenesisServer{Version: "15.3 (Debian)", Encoding: "UTF8", Collate: "C", CType: "C"}
	for _, c := range []struct {
		name   string
		source Source
		here   func(*sourceFacts)
		want   string
	}{
		{"the same", Source{Server: same, Extensions: []string{"plpgsql"}, Roles: []string{"postgres", "public"}}, nil, ""},
		{"another encoding into UTF8", Source{Server: GenesisServer{"15.3", "LATIN1", "C", "C"}}, nil, ""},
		{"into a smaller encoding", Source{Server: same}, func(f *sourceFacts) { f.server.Encoding = "LATIN1" }, "fatal encoding"},
		{"collation", Source{Server: GenesisServer{"15.3", "UTF8", "de_DE.utf8", "C"}}, nil, "warning collation"},
		{"extension and role", Source{Server: same, Extensions: []string{"postgis"}, Roles: []string{"app"}}, nil, "fatal extension-missing fatal role-missing"},
		{"row security, forced", Source{Server: same, Policed: true, Forced: true}, nil, "fatal row-security"},
		{"row security, forced, and bypassed", Source{Server: same, Policed: true, Forced: true}, func(f *sourceFacts) { f.bypass = true }, ""},
		{"row security, but for owners", Source{Server: same, Policed: true}, nil, ""},
		{"older server", Source{Server: GenesisServer{"18.1", "UTF8", "C", "C"}}, nil, "warning older-server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := here
			if c.here != nil {
				c.here(&f)
			}
			if got := brief(assessSource(c.source, f)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
