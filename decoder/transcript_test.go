package decoder

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// transcript decodes messages and writes each event on a line of its own, as
// line does. Messages that only teach leave no line.
func transcript(t testing.TB, messages ...[]byte) string {
	t.Helper()
	var d Decoder
	var b strings.Builder
	for i, m := range messages {
		e, err := d.Decode(m)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if e.Kind != Nothing {
			fmt.Fprintln(&b, line(e))
		}
	}
	return b.String()
}

func line(e *Event) string {
	switch e.Kind {
	case Begin:
		return "begin"
	case Commit:
		return "commit"
	case Origin:
		return fmt.Sprintf("origin %s", e.Name)
	case Message:
		where := "outside"
		if e.Transactional {
			where = "transactional"
		}
		return fmt.Sprintf("message %s %s %q", where, e.Name, e.Content)
	case Truncate:
		var parts []string
		for _, s := range e.Truncates {
			parts = append(parts, s.Action()+option(s.Restart, " restart")+option(s.Cascade, " cascade"))
		}
		return strings.Join(parts, ", ")
	case Row:
		key := columns(e.Shape.Key, e.Values)
		set := columns(e.Shape.Set, e.Values[len(e.Shape.Key):])
		if e.Shape.Op == action.Update {
			return e.Shape.Action() + key + " set" + set
		}
		return e.Shape.Action() + key + set
	}
	return fmt.Sprintf("kind %d", e.Kind)
}

func option(on bool, word string) string {
	if on {
		return word
	}
	return ""
}

func columns(names []string, values [][]byte) string {
	var b strings.Builder
	for i, name := range names {
		if values[i] == nil {
			fmt.Fprintf(&b, " %s=NULL", name)
		} else {
			fmt.Fprintf(&b, " %s=%q", name, abbreviated(values[i]))
		}
	}
	return b.String()
}

// abbreviated keeps values that are long enough for TOAST readable.
func abbreviated(v []byte) string {
	if len(v) <= 64 {
		return string(v)
	}
	return fmt.Sprintf("%s… (%d bytes)", v[:8], len(v))
}
