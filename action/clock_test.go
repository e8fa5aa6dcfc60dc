package action

import (
	"encoding/json"
	"testing"
)

// A clock is text in JSON, the one that String gives.
func TestClockInJSON(t *testing.T) {
	want := Clock{Micros: 1795168800123456, Counter: 7}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `"1795168800123456.7"` {
		t.Errorf("got %s, %v, want the text form", text, err)
	}
	var got Clock
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{`"1"`, `"1."`, `"x.1"`, `"1.99999999999"`, `1.5`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s was read as %v", bad, got)
		}
	}
}
