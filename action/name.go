package action

import (
	"fmt"
	"strings"
)

// Name is a schema-qualified name of a table, a sequence or a function.
type Name struct {
	Schema, Name string
}

// String is the name as records write it: schema.name, each part quoted as in
// SQL unless it is made of lower-case letters, digits and underscores and does
// not begin with a digit. Reserved words are not quoted: the form is for
// reading and for ParseName, not for SQL text (SQL is).
func (n Name) String() string { return quotePart(n.Schema) + "." + quotePart(n.Name) }

// SQL is the name quoted for use in a statement.
func (n Name) SQL() string { return QuoteIdent(n.Schema) + "." + QuoteIdent(n.Name) }

// QuoteIdent quotes an identifier for use in a statement.
func QuoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func quotePart(s string) string {
	plain := s != ""
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return QuoteIdent(s)
}

// MarshalText makes the String form the JSON form.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads the String form.
func (n *Name) UnmarshalText(b []byte) (err error) {
	*n, err = ParseName(string(b))
	return err
}

// ParseName reads what Name.String wrote.
func ParseName(s string) (Name, error) {
	parts, err := splitName(s)
	if err != nil {
		return Name{}, err
	}
	if len(parts) != 2 {
		return Name{}, fmt.Errorf("parse name %q: want schema.name", s)
	}
	return Name{Schema: parts[0], Name: parts[1]}, nil
}

// splitName splits at the dots outside of quotes and removes the quotes.
func splitName(s string) ([]string, error) {
	var parts []string
	for rest := s; ; {
		part, tail, err := cutPart(rest)
		if err != nil {
			return nil, fmt.Errorf("parse name %q: %w", s, err)
		}
		parts = append(parts, part)
		if tail == "" {
			return parts, nil
		}
		if tail[0] != '.' {
			return nil, fmt.Errorf("parse name %q: want a dot before %q", s, tail)
		}
		rest = tail[1:]
	}
}

func cutPart(s string) (part, tail string, err error) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, '.')
		if end < 0 {
			end = len(s)
		}
		part = s[:end]
		if quotePart(part) != part {
			return "", "", fmt.Errorf("part %q needs quotes", part)
		}
		return part, s[end:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		part = b.String()
		if quotePart(part) == part {
			return "", "", fmt.Errorf("part %q needs no quotes", part)
		}
		return part, s[i+1:], nil
	}
	return "", "", fmt.Errorf("a quote is not closed")
}
