package main

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// line writes one action. Its place is set by the caller.
type line struct {
	header *archive.Header
	head   action.Tx
	tx     int // index in the record

	known map[*action.Shape]*labels
	text  []byte
}

// labels are what the lines of a shape have in common, as they are printed.
type labels struct {
	action   string   // in text
	columns  []string // in text: those of the key, then those of set
	set      []int    // for each of set, its place in the key, or -1
	quoted   []string // in JSON, as columns
	params   []param  // of a call or of a mapped change
	jsonHead string   // action, of and table in JSON
}

// param is a parameter and where its value is.
type param struct {
	text, quoted string
	at           int
}

const (
	textTime = "2006-01-02 15:04:05.000000Z"
	jsonTime = "2006-01-02T15:04:05.000000Z"
	// textWidth is how many characters of a value the text shows.
	textWidth = 60
	// statementWidth is how many bytes of a statement it shows.
	statementWidth = 300
)

func (l *line) labels(s *action.Shape) *labels {
	if known := l.known[s]; known != nil {
		return known
	}
	n := &labels{action: printable(s.Action())}
	for _, c := range slices.Concat(s.Key, s.Set) {
		n.columns = append(n.columns, printableColumn(c))
		n.quoted = append(n.quoted, jsonString(c))
	}
	for _, c := range s.Set {
		n.set = append(n.set, slices.Index(s.Key, c))
	}
	for at, name := range s.Params {
		if name != "" {
			n.params = append(n.params, param{printableColumn(name), jsonString(name), at})
		}
	}
	n.jsonHead = `"action":` + jsonString(s.Action())
	if mapped(s) {
		n.jsonHead += `,"of":` + jsonString(s.RowAction())
	}
	if s.Table != (action.Name{}) {
		n.jsonHead += `,"table":` + jsonString(s.Table.String())
	}
	if l.known == nil {
		l.known = map[*action.Shape]*labels{}
	}
	l.known[s] = n
	return n
}

// mapped tells whether rows are named after a function.
func mapped(s *action.Shape) bool { return s.Op != action.Call && s.Function != (action.Name{}) }

// appendText writes the line for people.
func (l *line) appendText(b []byte, d *deed) []byte {
	n := l.labels(d.shape)
	b = action.Clock{Micros: l.head.At}.Time().AppendFormat(b, textTime)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(l.header.Epoch), 10)
	b = append(b, ':')
	b = strconv.AppendUint(b, l.header.Seq, 10)
	b = append(b, ' ')
	b = l.head.LSN.AppendTo(b)
	if l.head.Copy {
		b = append(b, " copy"...)
	}
	b = append(b, ' ')
	b = append(b, n.action...)
	if d.shape.Function != (action.Name{}) {
		return l.appendParams(b, n.params, d.values)
	}
	return l.appendRow(b, d.shape, n, d.values)
}

// appendParams writes parameters as a call has them.
func (l *line) appendParams(b []byte, params []param, values []action.Value) []byte {
	b = append(b, '(')
	for i, p := range params {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, p.text...)
		b = append(b, '=')
		b = l.appendValue(b, values[p.at])
	}
	return append(b, ')')
}

// appendRow writes what is to be said of a row or a truncate.
func (l *line) appendRow(b []byte, s *action.Shape, n *labels, values []action.Value) []byte {
	if s.Restart {
		b = append(b, " restart"...)
	}
	if s.Cascade {
		b = append(b, " cascade"...)
	}
	switch s.Op {
	case action.Truncate, action.Clear:
		return b
	case action.Schema:
		return l.appendStatement(append(b, ' '), values[0])
	}
	keys := len(s.Key)
	for i, v := range values {
		if i >= keys && n.set[i-keys] >= 0 {
			continue // stands behind its old value
		}
		b = append(b, ' ')
		b = append(b, n.columns[i]...)
		b = append(b, '=')
		b = l.appendValue(b, v)
		if now := slices.Index(n.set, i); i < keys && now >= 0 && !same(v, values[keys+now]) {
			b = append(b, "->"...)
			b = l.appendValue(b, values[keys+now])
		}
	}
	return b
}

// appendStatement writes a statement on one line, longer than a value.
func (l *line) appendStatement(b []byte, v action.Value) []byte {
	l.text = v.AppendText(l.text[:0])
	words := strings.Join(strings.Fields(string(l.text)), " ")
	if len(words) > statementWidth {
		words = strings.ToValidUTF8(words[:statementWidth], "") + "…"
	}
	for _, r := range words {
		if strconv.IsPrint(r) {
			b = utf8.AppendRune(b, r)
		} else {
			b = strconv.AppendQuoteRune(b, r)
		}
	}
	return b
}

func same(v, w action.Value) bool { return (v == nil) == (w == nil) && bytes.Equal(v, w) }

// appendValue writes a value that a terminal can bear: what is not plainly a
// number is quoted, and cut if it is long.
func (l *line) appendValue(b []byte, v action.Value) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	l.text = v.AppendText(l.text[:0])
	if number(l.text) {
		return append(b, l.text...)
	}
	shown, end := 0, 0
	for end < len(l.text) && shown < textWidth {
		_, size := utf8.DecodeRune(l.text[end:])
		end += size
		shown++
	}
	b = strconv.AppendQuote(b, string(l.text[:end]))
	if end < len(l.text) {
		b = append(b, "…"...)
	}
	return b
}

// number tells whether the text is short and made of what numbers and dates
// are made of.
func number(text []byte) bool {
	for _, c := range text {
		if (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= textWidth
}

// printable quotes a name that a terminal cannot bear.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(name)
	}
	return name
}

// printableColumn quotes also what would not end where it seems to.
func printableColumn(name string) string {
	if name == "" || strings.ContainsAny(name, ` =",()`) {
		return strconv.Quote(name)
	}
	return printable(name)
}
