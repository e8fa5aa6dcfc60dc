package kwil

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Limits of a payload.
const (
	MaxPayload = 4 << 20 // bytes; what the bundler gave free of charge ended at 100 KiB
	MaxParams  = 1000
	MaxName    = 256 // bytes, of an action or a parameter
)

// Param is a parameter of an action as the writer named it, with the $ of Kwil.
// All values were made strings before they were sent.
type Param struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// payload is the whole data of an item.
type payload struct {
	ActionName string  `json:"actionName"`
	Data       []Param `json:"data"`
}

// ParsePayload reads the data of an item. It takes what JSON.stringify made of
// the writer's object, byte for byte, and nothing else: so there is one reading
// of it, and no value that a decoder would have to mend.
func ParsePayload(data []byte) (action string, params []Param, err error) {
	if len(data) > MaxPayload {
		return "", nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), MaxPayload)
	}
	if count := bytes.Count(data, []byte(`{"name":`)); count > MaxParams {
		return "", nil, fmt.Errorf("more than %d parameters", MaxParams)
	}
	var p payload
	if err := json.Unmarshal(data, &p); err != nil {
		return "", nil, errors.New("not the JSON of an action") // the cause may quote a value
	}
	if err := p.check(); err != nil {
		return "", nil, err
	}
	if !bytes.Equal(AppendPayload(nil, p.ActionName, p.Data), data) {
		return "", nil, errors.New("not as the writer of 2023 wrote it: other keys, other spaces, or what is no text")
	}
	return p.ActionName, p.Data, nil
}

func (p *payload) check() error {
	if p.ActionName == "" || len(p.ActionName) > MaxName {
		return fmt.Errorf("an action name of %d bytes, 1 to %d are allowed", len(p.ActionName), MaxName)
	}
	if len(p.Data) > MaxParams {
		return fmt.Errorf("%d parameters, at most %d are allowed", len(p.Data), MaxParams)
	}
	seen := make(map[string]bool, len(p.Data))
	for n, param := range p.Data {
		switch {
		case len(param.Name) < 2 || len(param.Name) > MaxName || param.Name[0] != '$':
			return fmt.Errorf("parameter %d: want a name that begins with $, of at most %d bytes", n+1, MaxName)
		case seen[param.Name]:
			return fmt.Errorf("parameter %d: its name is there twice", n+1)
		}
		seen[param.Name] = true
	}
	return nil
}

// AppendPayload writes the data of an item as the writer's JSON.stringify did.
// The strings must be UTF-8.
func AppendPayload(b []byte, action string, params []Param) []byte {
	b = appendString(append(b, `{"actionName":`...), action)
	b = append(b, `,"data":[`...)
	for n, p := range params {
		if n > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"name":`...), p.Name)
		b = append(appendString(append(b, `,"value":`...), p.Value), '}')
	}
	return append(b, "]}"...)
}

// appendString writes a JSON string as ECMAScript does: it escapes the quote, the
// backslash and control characters, these in lower case, and nothing else.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
			} else {
				b = append(b, c)
			}
		}
	}
	return append(b, '"')
}
