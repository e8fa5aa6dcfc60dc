package checkpoint_test

import (
	"testing"

	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A child that inherited a column late has its columns in another order where
// pg_dump's text made it. That is no difference.
func TestCompareOtherOrder(t *testing.T) {
	a, b := pgtest.New(t), pgtest.New(t)
	a.Exec(t, `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (own text, PRIMARY KEY (id)) INHERITS (parent); ALTER TABLE parent ADD late int;
		INSERT INTO child VALUES (1, 'one', 10), (2, NULL, 20)`)
	o := newOrigin(t, a)
	r := o.create(t)
	l := o.loader(t, b, r.Number)
	if err := load(t, l); err != nil {
		t.Fatal(err)
	}
	const order = `SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'child'::regclass AND attnum > 0`
	if got, was := b.Value(t, order), a.Value(t, order); got == was {
		t.Fatalf("the order is %s in both: this tests nothing", got)
	}
	if err := checkpoint.Compare(t.Context(), l.Connect, 2, l.Checkpoint, nil); err != nil {
		t.Errorf("compare: %v", err)
	}
}
