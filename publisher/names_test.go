package publisher

import (
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// An item has not room for any number of names: that of checkpoints goes first.
func TestNames(t *testing.T) {
	table := func(name string) *action.Shape {
		return action.NewShape(action.Insert, action.Name{Schema: "app", Name: name}, nil, []string{"id"})
	}
	for _, test := range []struct {
		name   string
		shapes []*action.Shape
		want   []string
	}{
		{"none", nil, nil},
		{"rows", []*action.Shape{table("b"), table("a"), table("b")}, []string{"app.a.insert", "app.b.insert"}},
		{"a checkpoint", []*action.Shape{table("b"), action.NewMark(), table("a"), action.NewSequences()}, []string{"pgbridge.checkpoint", "app.a.insert", "app.b.insert", "pgbridge.sequences"}},
		{"a checkpoint alone", []*action.Shape{action.NewMark()}, []string{"pgbridge.checkpoint"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := builder{shapes: map[*action.Shape]struct{}{}}
			for _, s := range test.shapes {
				b.shapes[s] = struct{}{}
			}
			if got := b.names(); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
