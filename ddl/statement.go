package ddl

import (
	"errors"
	"strings"
)

// Split returns the statements of an SQL text as psql would send them,
// without their semicolons and without the white space and the comments between
// them. It knows quotes, dollar quotes, nested comments, parentheses, and the
// bodies of SQL functions (BEGIN ATOMIC … END), and takes standard_conforming_strings
// to be on. The text is taken to be what the server would accept: other text may
// be split in odd ways, but is never changed.
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
		body  bodyDepth
	)
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == ';' && depth <= 0 && body.depth == 0:
			s.at++
			return s.text[start:end], nil
		case c == '(':
			depth++
			s.at++
		case c == ')':
			depth--
			s.at++
		case isWordStart(c):
			word := s.word()
			if s.at < len(s.text) && s.text[s.at] == '\'' && strings.EqualFold(word, "e") {
				if err := s.quoted('\'', true); err != nil {
					return "", err
				}
			} else if depth <= 0 {
				body.see(word)
			}
		default:
			if err := s.skipToken(c); err != nil {
				return "", err
			}
		}
		end = s.at
		if err := s.skipBlank(); err != nil {
			return "", err
		}
	}
	if depth > 0 || body.depth > 0 {
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
	for c >= '0' && c <= '9' && s.at < len(s.text) && isWordPart(s.text[s.at]) {
		s.at++ // 1$2 is no dollar quote
	}
	return nil
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

func (s *scanner) comment() error {
	if s.text[s.at] == '-' {
		if end := strings.IndexByte(s.text[s.at:], '\n'); end >= 0 {
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

// quoted passes a quoted string or name; a doubled quote is part of it.
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
			s.at++
			return nil
		}
	}
	return errors.New("a quote is not closed")
}

// dollar passes $tag$ … $tag$, or a lone dollar ($1).
func (s *scanner) dollar() error {
	end := s.at + 1
	for end < len(s.text) && isWordPart(s.text[end]) && s.text[end] != '$' {
		end++
	}
	digit := end > s.at+1 && s.text[s.at+1] >= '0' && s.text[s.at+1] <= '9'
	if digit || end == len(s.text) || s.text[end] != '$' {
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

func isWordPart(c byte) bool { return isWordStart(c) || c >= '0' && c <= '9' || c == '$' }

// bodyDepth counts BEGIN and CASE against END in CREATE FUNCTION and CREATE
// PROCEDURE, whose bodies may hold semicolons.
type bodyDepth struct {
	words string // the first words, each with a space after it
	count int
	depth int
}

func (b *bodyDepth) see(word string) {
	word = strings.ToLower(word)
	if b.count < 4 {
		b.words += word + " "
		b.count++
	}
	create, ok := strings.CutPrefix(b.words, "create ")
	create = strings.TrimPrefix(create, "or replace ")
	if !ok || !strings.HasPrefix(create, "function ") && !strings.HasPrefix(create, "procedure ") {
		return
	}
	switch {
	case word == "begin", word == "case" && b.depth > 0:
		b.depth++
	case word == "end" && b.depth > 0:
		b.depth--
	}
}
