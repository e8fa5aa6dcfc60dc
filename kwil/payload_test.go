package kwil

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParsePayload(t *testing.T) {
	const seeds = `{"actionName":"insert_message_sync","data":[{"name":"$id","value":"V1StGXR8_Z5jdHi6B-myT"},{"name":"$message","value":"hi"}]}`
	name, params, err := ParsePayload([]byte(seeds))
	want := []Param{{"$id", "V1StGXR8_Z5jdHi6B-myT"}, {"$message", "hi"}}
	if err != nil || name != "insert_message_sync" || !slices.Equal(params, want) {
		t.Errorf("got %s %v, %v, want insert_message_sync %v", name, params, err, want)
	}
	many := `{"actionName":"a","data":[`
	for n := range MaxParams + 1 {
		many += fmt.Sprintf(`{"name":"$%d","value":""},`, n)
	}
	refused := map[string]string{
		"not JSON":             `{"actionName":`,
		"empty":                ``,
		"a list":               `[]`,
		"a space":              `{"actionName": "a","data":[]}`,
		"a line at the end":    `{"actionName":"a","data":[]}` + "\n",
		"two values":           `{"actionName":"a","data":[]}{}`,
		"no data":              `{"actionName":"a"}`,
		"null for data":        `{"actionName":"a","data":null}`,
		"no name":              `{"actionName":"","data":[]}`,
		"another order":        `{"data":[],"actionName":"a"}`,
		"another key":          `{"actionName":"a","data":[],"x":1}`,
		"a key twice":          `{"actionName":"b","actionName":"a","data":[]}`,
		"a key in capitals":    `{"ActionName":"a","data":[]}`,
		"a number":             `{"actionName":"a","data":[{"name":"$a","value":1}]}`,
		"null for a value":     `{"actionName":"a","data":[{"name":"$a","value":null}]}`,
		"no value":             `{"actionName":"a","data":[{"name":"$a"}]}`,
		"no dollar":            `{"actionName":"a","data":[{"name":"a","value":""}]}`,
		"a dollar alone":       `{"actionName":"a","data":[{"name":"$","value":""}]}`,
		"a parameter twice":    `{"actionName":"a","data":[{"name":"$a","value":""},{"name":"$a","value":""}]}`,
		"half a surrogate":     `{"actionName":"a","data":[{"name":"$a","value":"\ud83d"}]}`,
		"not UTF-8":            `{"actionName":"a","data":[{"name":"$a","value":"` + "\xff" + `"}]}`,
		"an escape too many":   `{"actionName":"\u0061","data":[]}`,
		"a control character":  `{"actionName":"a","data":[{"name":"$a","value":"` + "\x01" + `"}]}`,
		"a long name":          `{"actionName":"` + strings.Repeat("a", MaxName+1) + `","data":[]}`,
		"too many parameters":  strings.TrimSuffix(many, ",") + "]}",
		"too large":            `{"actionName":"a","data":[{"name":"$a","value":"` + strings.Repeat("a", MaxPayload) + `"}]}`,
		"null for a parameter": `{"actionName":"a","data":[null]}`,
	}
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			if action, params, err := ParsePayload([]byte(text)); err == nil {
				t.Errorf("got %s %v, want an error", action, params)
			}
		})
	}
}

// What is accepted has one encoding, and says to any other reader of JSON what
// it says to this one. And what a writer can write is accepted.
func FuzzParsePayload(f *testing.F) {
	f.Add([]byte(`{"actionName":"a","data":[{"name":"$a","value":"\u0000\"\\\n/\u001f"}]}`), "$b", "x\u2028\x00\t")
	f.Add([]byte(`{"actionName":"a","data":[]}`), "$\"", "\ufffd<>&\x7f")
	f.Add([]byte(`{"actionName":"a","data":[{"name":"$a","value":"\ud83d"}]}`), "$", "\xff")
	f.Fuzz(func(t *testing.T, data []byte, name, value string) {
		action, params, err := ParsePayload(data)
		if err == nil {
			if again := AppendPayload(nil, action, params); string(again) != string(data) {
				t.Errorf("got %q from %q", again, data)
			}
			var any struct {
				ActionName string
				Data       []struct{ Name, Value string }
			}
			if err := json.Unmarshal(data, &any); err != nil || any.ActionName != action || len(any.Data) != len(params) {
				t.Fatalf("another reader got %+v, %v from %q", any, err, data)
			}
			for i, p := range any.Data {
				if params[i] != Param(p) || !utf8.ValidString(p.Value) {
					t.Errorf("parameter %d: got %q, another reader %q", i, params[i], p)
				}
			}
		}
		if len(name) < 2 || len(name) > MaxName || name[0] != '$' || !utf8.ValidString(name) || !utf8.ValidString(value) || len(value) > 1<<20 {
			return
		}
		_, params, err = ParsePayload(AppendPayload(nil, "a", []Param{{name, value}}))
		if err != nil || len(params) != 1 || params[0] != (Param{name, value}) {
			t.Errorf("wrote %q = %q, read %q, %v", name, value, params, err)
		}
	})
}
