package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

func checkTables(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	all, err := Tables(ctx, tx)
	if err != nil {
		return nil, err
	}
	return assessTables(t, all), nil
}

func assessTables(t target, all []Table) (found []Finding) {
	var generated, names []string
	for _, table := range all {
		if !t.wants(table.Name) {
			continue
		}
		names = append(names, table.Name.String())
		found = append(found, assessTable(table)...)
		if table.Partitioned && table.Identity != IdentityDefault && !t.watched {
			found = append(found, Finding{
				"partition-new", Warning, table.Name.String(), "its replica identity is " + string(table.Identity) + ", but each new partition begins with the default",
				alterIdentity(action.Name{Schema: table.Name.Schema, Name: "new partition"}, table.Identity) + ", before it holds rows",
			})
		}
		found = append(found, assessGenerated(table, t.server.Major())...)
		for _, c := range table.Columns {
			if c.Generated {
				generated = append(generated, table.Name.String()+"."+action.QuoteIdent(c.Name))
			}
		}
	}
	if len(names) == 0 {
		found = append(found, Finding{"no-tables", Warning, "database " + t.name, "it has no table to publish", "create the tables before pgbridge init"})
	}
	if len(generated) > 0 {
		found = append(found, Finding{"generated", Info, summary(generated, 5), "generated columns are not published: each database computes its own", ""})
	}
	return found
}

// assessTable says what is wrong with the replica identity of a table. Published
// without one, a table refuses UPDATE and DELETE: the error would hit the
// application, not pgbridge.
func assessTable(t Table) (found []Finding) {
	if f, bad := assessIdentity(t.Name, t.Identity, t.Key, t.PrimaryKey); bad {
		return []Finding{f}
	}
	for _, l := range t.Leaves {
		switch {
		case !l.InWAL:
			found = append(found, Finding{
				"partition-outside", Fatal, l.Name.String(), "changes of this partition of " + t.Name.String() + " are not in the WAL (it is foreign or unlogged)",
				"ALTER TABLE " + l.Name.SQL() + " SET LOGGED, or detach it",
			})
		case l.Identity != t.Identity || !slices.Equal(l.Key, t.Key):
			found = append(found, Finding{
				"partition-identity", Fatal, l.Name.String(),
				fmt.Sprintf("its replica identity is %s, that of %s is %s: old rows would be misread", describe(l.Identity, l.Key), t.Name, describe(t.Identity, t.Key)),
				alterIdentity(l.Name, t.Identity),
			})
		}
	}
	return found
}

// assessGenerated says where generated columns stand in the way: they are not in
// the WAL stream, so they cannot find a row, and from 18 on the server refuses
// UPDATE and DELETE of a published table whose old rows would lack them.
func assessGenerated(t Table, major int) (found []Finding) {
	for _, c := range t.Columns {
		f := Finding{ID: "generated-key", Severity: Fatal, Subject: t.Name.String()}
		switch {
		case !c.Generated:
			continue
		case slices.Contains(t.Key, c.Name):
			f.Problem, f.Fix = "its replica identity has the generated column "+c.Name+", which is not published", "ALTER TABLE "+t.Name.SQL()+" REPLICA IDENTITY USING INDEX, with one of other columns"
			if major < 18 {
				f.Fix = alterIdentity(t.Name, IdentityFull)
			}
		case t.Identity == IdentityFull && major >= 18:
			f.Problem, f.Fix = "column "+c.Name+" is generated, and the replica identity is FULL: published, the table would refuse UPDATE and DELETE", "give it a primary key, and "+alterIdentity(t.Name, IdentityDefault)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}

func assessIdentity(name action.Name, identity ReplicaIdentity, key, primary []string) (Finding, bool) {
	full := alterIdentity(name, IdentityFull)
	f := Finding{ID: "no-key", Severity: Fatal, Subject: name.String()}
	switch {
	case identifiable(identity, key):
		return Finding{}, false
	case identity == IdentityNothing:
		f.ID, f.Problem, f.Fix = "identity-nothing", "its replica identity is NOTHING: published, it would refuse UPDATE and DELETE", alterIdentity(name, IdentityDefault)
		if len(primary) == 0 {
			f.Fix = full
		}
	case identity == IdentityIndex:
		f.ID, f.Problem, f.Fix = "identity-index", "the index of its replica identity is gone or not valid: published, it would refuse UPDATE and DELETE",
			"make the index again and ALTER TABLE "+name.SQL()+" REPLICA IDENTITY USING INDEX …, or "+full
	case len(primary) > 0:
		f.Problem, f.Fix = "its primary key is deferrable or not valid: published, the table would refuse UPDATE and DELETE", full
	default:
		f.Problem, f.Fix = "it has no primary key: published, it would refuse UPDATE and DELETE", "give it a primary key, or "+full
	}
	return f, true
}

func describe(identity ReplicaIdentity, key []string) string {
	if len(key) == 0 {
		return string(identity)
	}
	return string(identity) + " (" + strings.Join(key, ", ") + ")"
}

func alterIdentity(name action.Name, identity ReplicaIdentity) string {
	alter := "ALTER TABLE " + name.SQL() + " REPLICA IDENTITY "
	switch identity {
	case IdentityIndex:
		return alter + "USING INDEX …"
	case IdentityDefault:
		return alter + "DEFAULT"
	case IdentityNothing:
		return alter + "NOTHING"
	}
	return alter + "FULL"
}
