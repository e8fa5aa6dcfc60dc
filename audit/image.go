package audit

import (
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// value is what is known of a column: its text, or NULL.
type value struct {
	text string
	null bool
}

func valueOf(v action.Value) value {
	text, ok := v.Text()
	return value{text, !ok}
}

// pointer is the value as JSON shows it.
func (v value) pointer() *string {
	if v.null {
		return nil
	}
	return &v.text
}

// image is what is known of a row, by column.
type image map[string]value

// old is what a change says of the row before it: its key.
func (c *change) old() image {
	row := image{}
	for i, name := range c.shape.Key {
		row[name] = valueOf(c.values[i])
	}
	return row
}

// set is what a change gives to the row.
func (c *change) set() image {
	row := image{}
	for i, name := range c.shape.Set {
		row[name] = valueOf(c.values[len(c.shape.Key)+i])
	}
	return row
}

// over is row with what set says.
func (row image) over(set image) image {
	next := make(image, len(row)+len(set))
	for name, v := range row {
		next[name] = v
	}
	for name, v := range set {
		next[name] = v
	}
	return next
}

// key is the text of the columns of a key, so that different keys differ; empty
// if one of them is not known.
func (row image) key(columns []string) string {
	var b strings.Builder
	for _, name := range columns {
		v, ok := row[name]
		if !ok {
			return ""
		}
		v.write(&b)
	}
	return b.String()
}

// write writes a value so that different values differ, also when others follow:
// no text holds a NUL.
func (v value) write(b *strings.Builder) {
	if v.null {
		b.WriteString("N\x00")
		return
	}
	b.WriteByte('=')
	b.WriteString(v.text)
	b.WriteByte(0)
}

// Column is what happened to one column. Old and New are nil for NULL, and where
// Had and Has are false: then the row had no such column, or it is not known what
// was there.
type Column struct {
	Name string  `json:"name"`
	Had  bool    `json:"had"`
	Old  *string `json:"old"`
	Has  bool    `json:"has"`
	New  *string `json:"new"`
}

// columns are the differences of two images, by name. A column that is in one of
// them only counts as one.
func columns(before, after image) (all []Column) {
	for name, was := range before {
		is, ok := after[name]
		if !ok || is != was {
			all = append(all, Column{name, true, was.pointer(), ok, is.pointer()})
		}
	}
	for name, is := range after {
		if _, ok := before[name]; !ok {
			all = append(all, Column{name, false, nil, true, is.pointer()})
		}
	}
	for i := range all {
		if !all[i].Has {
			all[i].New = nil
		}
	}
	slices.SortFunc(all, func(a, b Column) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Value is a column of a key, or a parameter, with its value.
type Value struct {
	Name string  `json:"name"`
	Text *string `json:"value"`
}

func (row image) values(names []string) (all []Value) {
	for _, name := range names {
		v := row[name]
		all = append(all, Value{name, v.pointer()})
	}
	return all
}

// params are the parameters of a call, or of a row that is named after one.
func params(s *action.Shape, values []action.Value) (all []Value) {
	for i, name := range s.Params {
		if name != "" {
			v := valueOf(values[i])
			all = append(all, Value{name, v.pointer()})
		}
	}
	return all
}
