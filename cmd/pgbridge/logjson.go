package main

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// appendJSON writes the line for programs: values whole, in the order of the
// record.
func (l *line) appendJSON(b []byte, d *deed) []byte {
	b = append(b, `{"at":"`...)
	b = action.Clock{Micros: l.head.At}.Time().AppendFormat(b, jsonTime)
	b = append(b, `","hlc":"`...)
	b = l.head.Clock.AppendTo(b)
	b = append(b, `","lsn":"`...)
	b = l.head.LSN.AppendTo(b)
	b = append(b, '"')
	if l.head.XID > 0 {
		b = append(b, `,"xid":`...)
		b = strconv.AppendUint(b, uint64(l.head.XID), 10)
	}
	b = append(b, `,"writer":"`...)
	b = append(b, l.header.Writer.String()...)
	b = append(b, `","epoch":`...)
	b = strconv.AppendUint(b, uint64(l.header.Epoch), 10)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, l.header.Seq, 10)
	b = append(b, `,"tx":`...)
	b = strconv.AppendInt(b, int64(l.tx), 10)
	if l.head.Part > 1 {
		b = append(b, `,"part":`...)
		b = strconv.AppendInt(b, int64(l.head.Part), 10)
	}
	if l.head.Copy {
		b = append(b, `,"copy":true`...)
	}
	b = append(b, ',')
	return append(l.appendDeed(b, d), '}')
}

// appendDeed writes the members of an object that are about the action alone.
func (l *line) appendDeed(b []byte, d *deed) []byte {
	s, n := d.shape, l.labels(d.shape)
	b = append(b, n.jsonHead...)
	switch {
	case s.Op == action.Call:
		b = appendParams(b, n.params, d.values)
		return l.appendEffect(b, d.effect)
	case mapped(s):
		b = appendParams(b, n.params, d.values)
	}
	if s.Restart {
		b = append(b, `,"restart":true`...)
	}
	if s.Cascade {
		b = append(b, `,"cascade":true`...)
	}
	keys := len(s.Key)
	if s.Op == action.Update || s.Op == action.Delete {
		b = appendObject(append(b, `,"key":`...), n.quoted[:keys], d.values[:keys])
	}
	if s.Op != action.Truncate && s.Op != action.Clear && s.Op != action.Delete {
		name := `,"params":`
		if mapped(s) {
			name = `,"set":`
		}
		b = appendObject(append(b, name...), n.quoted[keys:], d.values[keys:])
	}
	return b
}

func (l *line) appendEffect(b []byte, effect []deed) []byte {
	b = append(b, `,"effect":[`...)
	for i := range effect {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(l.appendDeed(append(b, '{'), &effect[i]), '}')
	}
	return append(b, ']')
}

func appendParams(b []byte, params []param, values []action.Value) []byte {
	b = append(b, `,"params":{`...)
	for i, p := range params {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.quoted...)
		b = append(b, ':')
		b = appendJSONValue(b, values[p.at])
	}
	return append(b, '}')
}

// appendObject writes columns and values.
func appendObject(b []byte, columns []string, values []action.Value) []byte {
	b = append(b, '{')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, columns[i]...)
		b = append(b, ':')
		b = appendJSONValue(b, v)
	}
	return append(b, '}')
}

// appendJSONValue writes a value, which is the inside of a JSON string already.
func appendJSONValue(b []byte, v action.Value) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = append(b, v...)
	return append(b, '"')
}

func jsonString(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be written
	return strings.TrimSuffix(b.String(), "\n")
}
