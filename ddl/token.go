package ddl

import "strings"

// token is a piece of a statement.
type token struct {
	// text is a word in upper case, a quoted name with its quotes, or one other
	// character. Strings and dollar quotes are "'". A word beside a dot is a name: it is as
	// if it were quoted.
	text     string
	from, to int // in the statement
}

// tokens takes a statement apart. What is in parentheses is one token, "(" or "[".
// The statement is one that the server has accepted.
func tokens(statement string) []token {
	var all []token
	depth := 0
	for _, t := range flat(statement) {
		switch t.text {
		case ")", "]":
			depth--
			if depth == 0 {
				all[len(all)-1].to = t.to
			}
			continue
		case "(", "[":
			depth++
			if depth > 1 {
				continue
			}
		default:
			if depth > 0 {
				continue
			}
		}
		all = append(all, t)
	}
	return all
}

// flat takes a statement apart, also what is in parentheses.
func flat(statement string) []token {
	var all []token
	s := scanner{text: statement}
	for s.skipBlank() == nil && s.at < len(s.text) {
		from := s.at
		text, err := s.token()
		if err != nil {
			break
		}
		all = append(all, token{text, from, s.at})
	}
	for i, t := range all {
		if t.text == "." && (i == 0 || !isDigit(all[i-1].text[0])) {
			nameOf(all, i-1)
			nameOf(all, i+1)
		}
	}
	return all
}

// nameOf makes token i, if it is a word, a name.
func nameOf(all []token, i int) {
	if i >= 0 && i < len(all) && isWordStart(all[i].text[0]) {
		all[i].text = `"` + all[i].text + `"`
	}
}

// token passes one token and returns its text as in token.
func (s *scanner) token() (string, error) {
	from := s.at
	c := s.text[s.at]
	if !isWordStart(c) {
		err := s.skipToken(c)
		text := s.text[from:s.at]
		if c == '\'' || c == '$' && len(text) > 1 {
			text = "'"
		}
		return text, err
	}
	word := s.word()
	if s.at < len(s.text) && s.text[s.at] == '\'' && (len(word) == 1 || word == "U&") {
		return "'", s.quoted('\'', strings.EqualFold(word, "e"))
	}
	return strings.ToUpper(word), nil
}

// at returns the text of token i, or "" behind the last.
func at(all []token, i int) string {
	if i < len(all) {
		return all[i].text
	}
	return ""
}

// find returns the place of the first of the words, from place i on, or -1.
func find(all []token, i int, words ...string) int {
	for ; i < len(all); i++ {
		for _, w := range words {
			if all[i].text == w {
				return i
			}
		}
	}
	return -1
}
