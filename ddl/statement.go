package ddl

import (
	"errors"
	"strings"
)

// Split returns the statements of an SQL text as the server would execute them,
// without their semicolons and without the white space and the comments between
// them. It knows quotes and how they go on in the next line, dollar quotes, nested
// comments, parentheses, and the bodies of SQL functions (BEGIN ATOMIC … END), by the
// rules of the server's scan.l, with standard_conforming_strings on: a text that means
// something else where it is off is refused at the source (sql/functions/frames.sql).
// The text is taken to be what the server would accept: other text may be split in odd
// ways, but is never changed.
func Split(text string) ([]string, error) {
	var all []string
	s := scanner{text: text}
	for {
		statement, err := s.next()
		if err != nil {
			return nil, err
		}
		if statement == "" {
			return all, nil
		}
		all = append(all, statement)
	}
}

type scanner struct {
	text string
	at   int
}

// next returns the next statement, or "" at the end.
func (s *scanner) next() (string, error) {
	if err := s.skipBlank(); err != nil {
		return "", err
	}
	for s.at < len(s.text) && s.text[s.at] == ';' { // an empty statement
		s.at++
		if err := s.skipBlank(); err != nil {
			return "", err
		}
	}
	var (
		start = s.at
		end   = s.at // of the last token: comments after it are not part of it
		depth int    // of parentheses
		body  body
	)
	for s.at < len(s.text) {
		c := s.text[s.at]
		word := ""
		switch {
		case c == ';' && depth <= 0 && !body.open:
			s.at++
			return s.text[start:end], nil
		case c == ';':
			word = ";"
			s.at++
		case c == '(':
			depth++
			s.at++
		case c == ')':
			depth--
			s.at++
		case isWordStart(c):
			word = s.word()
			if s.at < len(s.text) && s.text[s.at] == '\'' && strings.EqualFold(word, "e") {
				if err := s.quoted('\'', true); err != nil {
					return "", err
				}
			}
		default:
			if err := s.skipToken(c); err != nil {
				return "", err
			}
		}
		if depth <= 0 {
			body.see(word)
		}
		end = s.at
		if err := s.skipBlank(); err != nil {
			return "", err
		}
	}
	if depth > 0 || body.open {
		return "", errors.New("the last statement is not complete")
	}
	return s.text[start:end], nil
}

// skipToken passes what is neither blank, a word, a parenthesis nor a semicolon.
func (s *scanner) skipToken(c byte) error {
	switch c {
	case '\'', '"':
		return s.quoted(c, false)
	case '$':
		return s.dollar()
	}
	s.at++
	if isDigit(c) {
		s.number()
	}
	return nil
}

// number passes the rest of a number. Letters after it are a part of it, or a word of
// their own, with dollars in it.
func (s *scanner) number() {
	for s.at < len(s.text) && isDigit(s.text[s.at]) {
		s.at++
	}
	if s.at < len(s.text) && isWordStart(s.text[s.at]) {
		s.word()
	}
}

// skipBlank passes white space and comments.
func (s *scanner) skipBlank() error {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			s.at++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"):
			if err := s.comment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

// newline are the characters each of which ends a line for the server.
const newline = "\n\r"

func (s *scanner) comment() error {
	if s.text[s.at] == '-' {
		if end := strings.IndexAny(s.text[s.at:], newline); end >= 0 {
			s.at += end + 1
		} else {
			s.at = len(s.text)
		}
		return nil
	}
	for depth := 0; s.at < len(s.text); {
		switch {
		case strings.HasPrefix(s.text[s.at:], "/*"):
			depth++
			s.at += 2
		case strings.HasPrefix(s.text[s.at:], "*/"):
			depth--
			s.at += 2
		default:
			s.at++
		}
		if depth == 0 {
			return nil
		}
	}
	return errors.New("a comment is not closed")
}

// quoted passes a quoted string or name; a doubled quote is part of it. A string goes on,
// with the same rule for backslashes, in a quote of the next line.
func (s *scanner) quoted(quote byte, backslashes bool) error {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && backslashes:
			s.at++
		case c == quote:
			if s.at+1 < len(s.text) && s.text[s.at+1] == quote {
				s.at++
				continue
			}
			next := -1
			if quote == '\'' {
				next = continued(s.text, s.at+1)
			}
			if next < 0 {
				s.at++
				return nil
			}
			s.at = next
		}
	}
	return errors.New("a quote is not closed")
}

// continued returns the place of the quote by which a string that ended before i goes on:
// a line ends in between, and there is nothing but white space and comments to the end of
// a line. It is -1 where there is none (scan.l: quotecontinue).
func continued(text string, i int) int {
	lines := 0
	for i < len(text) {
		switch c := text[i]; {
		case strings.IndexByte(newline, c) >= 0:
			lines++
		case strings.IndexByte(" \t\f\v", c) >= 0:
		case c == '\'' && lines > 0:
			return i
		case strings.HasPrefix(text[i:], "--"):
			length := strings.IndexAny(text[i:], newline)
			if length < 0 {
				return -1
			}
			i += length
			continue
		default:
			return -1
		}
		i++
	}
	return -1
}

// dollar passes $tag$ … $tag$, or a lone dollar ($1).
func (s *scanner) dollar() error {
	end := s.at + 1
	for end < len(s.text) && isWordPart(s.text[end]) && s.text[end] != '$' {
		end++
	}
	if end > s.at+1 && isDigit(s.text[s.at+1]) {
		s.at++
		s.number()
		return nil
	}
	if end == len(s.text) || s.text[end] != '$' {
		s.at++
		return nil
	}
	tag := s.text[s.at : end+1]
	length := strings.Index(s.text[end+1:], tag)
	if length < 0 {
		return errors.New("a dollar quote is not closed")
	}
	s.at = end + 1 + length + len(tag)
	return nil
}

func (s *scanner) word() string {
	start := s.at
	for s.at < len(s.text) && isWordPart(s.text[s.at]) {
		s.at++
	}
	return s.text[start:s.at]
}

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordPart(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }

// body follows the body of a CREATE FUNCTION or PROCEDURE in SQL: BEGIN ATOMIC, statements
// that each end with a semicolon, END. Words of these kinds may be names elsewhere in it.
type body struct {
	words string // the first words, each with a space after it
	count int
	last  string // word; empty after something else
	open  bool
}

// see takes each word and semicolon outside of parentheses; "" is anything else.
func (b *body) see(word string) {
	word = strings.ToLower(word)
	last := b.last
	b.last = word
	if word != "" && b.count < 4 {
		b.words += word + " "
		b.count++
	}
	switch {
	case word == "atomic" && last == "begin":
		create, ok := strings.CutPrefix(b.words, "create ")
		create = strings.TrimPrefix(create, "or replace ")
		b.open = b.open || ok && (strings.HasPrefix(create, "function ") || strings.HasPrefix(create, "procedure "))
	case word == "end" && (last == ";" || last == "atomic"):
		b.open = false
	}
}
