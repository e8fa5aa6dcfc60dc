package postgres

import (
	"regexp"
	"strings"
)

var (
	// createdLate are what pg_dump makes in the post-data where it needs a primary
	// key: a query with GROUP BY id that reads other columns, too.
	createdLate  = regexp.MustCompile(`^CREATE (?:OR REPLACE )?(?:MATERIALIZED VIEW|VIEW|FUNCTION|PROCEDURE) ` + dumpedName)
	createdIndex = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX ([\pL_][\pL\pN_$]*|"(?:[^"]|"")+") `)
	attachedTo   = regexp.MustCompile(`^ALTER (?:INDEX|TABLE) .* (?:CLUSTER ON|REPLICA IDENTITY USING INDEX|ATTACH PARTITION) `)
)

// putOff moves indexes on a view that the post-data makes, or that call its
// functions, to PhaseRest, where the view and the function are, and what is said of
// these indexes too. All else keeps its phase: foreign keys need the other indexes
// before.
func putOff(steps []Step) {
	var late, indexes []string
	for i := range steps {
		s := &steps[i]
		index := createdIndex.FindStringSubmatch(s.Text)
		switch {
		case createdLate.MatchString(s.Text):
			late = append(late, createdLate.FindStringSubmatch(s.Text)[1])
		case index != nil && mentionsAny(s.Text, late):
			s.Phase, indexes = PhaseRest, append(indexes, index[1])
		case s.Phase == PhaseAttach && (attachedTo.MatchString(s.Text) && mentionsAny(s.Text, indexes) || mentionsAny(s.Text, late)):
			s.Phase = PhaseRest
		}
	}
}

// mentionsAny tells whether one of the names, as pg_dump writes them, is in a
// statement, and not as a part of a longer one.
func mentionsAny(statement string, names []string) bool {
	for _, name := range names {
		for from := 0; ; {
			at := strings.Index(statement[from:], name)
			if at < 0 {
				break
			}
			at += from
			from = at + len(name)
			if !isNamePart(statement[:at], true) && !isNamePart(statement[from:], false) {
				return true
			}
		}
	}
	return false
}

// isNamePart tells whether a text ends, or begins, with a part of a name.
func isNamePart(text string, end bool) bool {
	if text == "" {
		return false
	}
	c := text[0]
	if end {
		c = text[len(text)-1]
	}
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
