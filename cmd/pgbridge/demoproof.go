package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/postgres"
)

// tableSum is what a table holds: how many rows, and a digest of them that does
// not depend on their order.
type tableSum struct {
	name   string
	rows   int64
	digest string
}

// comparison is one table in the three copies.
type comparison struct {
	Table    string `json:"table"`
	Rows     int64  `json:"rows"`
	Source   string `json:"source"` // digests; empty where there is no such table
	Follower string `json:"follower"`
	Restored string `json:"restored"`
	Equal    bool   `json:"equal"`
}

// sumTable adds up two hashes of each row's text: 128 bits that no order and no
// storage can change.
const sumTable = `SELECT count(*), md5(coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) || ' ' || coalesce(sum(hashtextextended(t::text, 1)::numeric), 0)) FROM %s t`

// sumSequences is the same for the positions of the sequences.
const sumSequences = `SELECT count(*), md5(coalesce(string_agg(format('%I.%I %s', schemaname, sequencename, last_value), ' ' ORDER BY schemaname, sequencename), ''))
	FROM pg_catalog.pg_sequences WHERE schemaname <> 'pgbridge'`

// sumDatabase digests all tables, by name, and then the sequences.
func sumDatabase(ctx context.Context, conn *pgx.Conn) ([]tableSum, error) {
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		return nil, err
	}
	var all []tableSum
	add := func(name, query string) error {
		s := tableSum{name: name}
		if err := conn.QueryRow(ctx, query).Scan(&s.rows, &s.digest); err != nil {
			return fmt.Errorf("digest of %s: %w", name, err)
		}
		all = append(all, s)
		return nil
	}
	for _, t := range tables {
		if err := add(t.Name.String(), fmt.Sprintf(sumTable, t.Name.SQL())); err != nil {
			return nil, err
		}
	}
	return all, add("sequences", sumSequences)
}

// compare puts the copies side by side. A table that only a copy has is a
// difference too.
func compare(source, follower, restored []tableSum) (all []comparison, equal bool) {
	at := map[string]int{}
	equal = len(source) > 0
	for column, sums := range [][]tableSum{source, follower, restored} {
		for _, s := range sums {
			i, ok := at[s.name]
			if !ok {
				i = len(all)
				at[s.name] = i
				all = append(all, comparison{Table: s.name, Rows: s.rows})
			}
			*[]*string{&all[i].Source, &all[i].Follower, &all[i].Restored}[column] = s.digest
		}
	}
	for i := range all {
		c := &all[i]
		c.Equal = c.Source != "" && c.Source == c.Follower && c.Source == c.Restored
		equal = equal && c.Equal
	}
	return all, equal
}

// remember digests the source and the follower, once the follower has it all.
func (d *demo) remember(ctx context.Context) (err error) {
	d.say("remember what both hold, and read a little of what is in the archive")
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	if d.source, err = sumDatabase(ctx, d.first.conn); err != nil {
		return err
	}
	if d.copied, err = sumDatabase(ctx, d.second.conn); err != nil {
		return err
	}
	p, err := d.progress(ctx)
	if err != nil {
		return err
	}
	d.report.Records, d.report.Bytes = p.published, d.archiveSize()
	_, err = d.pgbridge(ctx, "log", "--db-id", d.id, "--archive", d.archive, "--table", "board.message", "--action", "update", "--limit", "3")
	return err
}

// prove compares the three copies and prints the table.
func (d *demo) prove(ctx context.Context) error {
	restored, err := sumDatabase(ctx, d.third.conn)
	if err != nil {
		return err
	}
	d.report.Tables, d.report.Equal = compare(d.source, d.copied, restored)
	d.say("the proof: what the three copies held")
	return d.app.print(d.report, "\n%s", d.report.text())
}

// text is the report for people.
func (r *demoReport) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "table\trows\tsource\tfollower\trestored")
	for _, c := range r.Tables {
		fmt.Fprintf(w, "%s\t%d\t%.16s\t%s\t%s\n", c.Table, c.Rows, c.Source, likeSource(c.Follower, c.Source), likeSource(c.Restored, c.Source))
	}
	_ = w.Flush() // a builder takes everything
	fmt.Fprintf(&b, "\ninit %.1f s, first copy to the follower %.1f s, load %.1f s: %d transactions, %.0f/s\n",
		r.Seconds.Init, r.Seconds.Copy, r.Seconds.Load, r.Load.Transactions, r.Load.PerSecond)
	fmt.Fprintf(&b, "%d records, %s in the archive; follower behind by %.2f s at the end of the load; restore %.1f s\n",
		r.Records, byteText(r.Bytes), r.Seconds.Lag, r.Seconds.Restore)
	verdict := "all three are equal"
	if !r.Equal {
		verdict = "THEY DIFFER"
	}
	fmt.Fprintf(&b, "db-id %s: %s\n", r.DB, verdict)
	return b.String()
}

func likeSource(digest, source string) string {
	switch digest {
	case "":
		return "missing"
	case source:
		return "equal"
	}
	return fmt.Sprintf("%.16s", digest)
}
