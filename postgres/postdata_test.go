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
		{"right", "GRANT SELECT ON TABLE app.t TO bob", "", "", PhaseRights, false},
		{"default privileges", "ALTER DEFAULT PRIVILEGES FOR ROLE al GRANT SELECT ON TABLES TO bob", "", "", PhaseRights, false},
		{"comment", "COMMENT ON INDEX app.i IS 'CREATE INDEX i ON app.users USING x'", "", "", PhaseRest, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			steps, err := Steps("CREATE RULE r AS ON INSERT TO app.a DO NOTHING;\n\nSET SESSION AUTHORIZATION 'al';\n\n"+c.text+";\n\n", Loading{})
			if err != nil || len(steps) != 2 {
				t.Fatalf("got %v, %v, want two steps", steps, err)
			}
			want := Step{1, c.phase, c.table, c.references, c.alone, Statement{Owner: "al", Text: c.text}}
			if steps[1] != want {
				t.Errorf("got %+v, want %+v", steps[1], want)
			}
		})
	}
}

// What needs a view or a function of the post-data is made after it.
func TestStepsOfLateViews(t *testing.T) {
	const text = `ALTER TABLE ONLY app.t ADD CONSTRAINT t_pkey PRIMARY KEY (id);
CREATE MATERIALIZED VIEW app.late AS SELECT 1 WITH NO DATA;
CREATE FUNCTION app.f(i integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
ALTER TABLE ONLY app.later ADD CONSTRAINT later_pkey PRIMARY KEY (id);
CREATE INDEX a ON app.late USING btree (id);
CREATE INDEX b ON app.t USING btree (app.f(id));
CREATE INDEX c ON app.later USING btree (id, app.ff(id));
ALTER TABLE app.late CLUSTER ON a;
ALTER INDEX app.parent ATTACH PARTITION app.b;
ALTER INDEX app.parent2 ATTACH PARTITION app.c;
`
	steps, err := Steps(text, Loading{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Phase{PhaseIndexes, PhaseRest, PhaseRest, PhaseIndexes, PhaseRest, PhaseRest, PhaseIndexes, PhaseRest, PhaseRest, PhaseAttach}
	for i, s := range steps {
		if s.Phase != want[i] {
			t.Errorf("%s: got phase %d, want %d", s.Text, s.Phase, want[i])
		}
	}
}

func TestStepsRefuse(t *testing.T) {
	if _, err := Steps("CREATE INDEX i ON t (a);\nDROP TABLE t;\n", Loading{}); err == nil {
		t.Error("DROP TABLE: got no error")
	}
}

func TestExtensionsOf(t *testing.T) {
	got, err := ExtensionsOf("CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\nCREATE EXTENSION IF NOT EXISTS \"uuid-ossp\" WITH SCHEMA public;\n")
	if want := []string{"pg_trgm", "uuid-ossp"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestAssessSource(t *testing.T) {
	here := sourceFacts{
		server: Server{Version: 150018, Encoding: "UTF8", Collate: "C", CType: "C"}, name: "x",
		available: []string{"plpgsql"}, roles: []string{"postgres"},
	}
	same := GenesisServer{Version: "15.3 (Debian)", Encoding: "UTF8", Collate: "C", CType: "C"}
	used := func(names ...string) RolesUsed { return RolesUsed{Named: names} }
	group := []ServerRole{{Name: "app", MemberOf: []Membership{{Role: "staff"}}}, {Name: "staff"}, {Name: "root", Superuser: true}}
	for _, c := range []struct {
		name   string
		source Source
		here   func(*sourceFacts)
		want   string
	}{
		{"the same", Source{Server: same, Extensions: []string{"plpgsql"}, Used: used("postgres")}, nil, ""},
		{"another encoding into UTF8", Source{Server: GenesisServer{"15.3", "LATIN1", "C", "C"}}, nil, ""},
		{"into a smaller encoding", Source{Server: same}, func(f *sourceFacts) { f.server.Encoding = "LATIN1" }, "fatal encoding"},
		{"collation", Source{Server: GenesisServer{"15.3", "UTF8", "de_DE.utf8", "C"}}, nil, "warning collation"},
		{"extension and role", Source{Server: same, Extensions: []string{"postgis"}, Used: used("app")}, nil, "fatal extension-missing fatal role-missing"},
		{"a group", Source{Server: same, Roles: group, Used: used("app")}, nil, "fatal role-missing warning role-related"},
		{"roles that will be made are in nobody's way", Source{Server: same, Roles: group, Used: used("app"), CreateRoles: true}, nil, ""},
		{"no role is used", Source{Server: same, Roles: group}, nil, ""},
		{"no member", Source{Server: same, Used: used("postgres")}, func(f *sourceFacts) { f.others = []string{"postgres"} }, "fatal role-member"},
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
