package kwil

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/archive"
)

// The tags of the 2023 format, in its order. All are there once.
const (
	tagApplication = "Application"
	tagContentType = "Content-Type"
	tagOriginal    = "Original-DBID"
	tagLocal       = "Local-DBID"
	tagLocalName   = "Local-DB-Name"
	tagType        = "Type"
	tagActionID    = "Action-Id"
	tagProvider    = "Provider-Address"
	tagSignature   = "Signature"
)

var tagNames = [...]string{
	tagApplication, tagContentType, tagOriginal, tagLocal, tagLocalName, tagType, tagActionID, tagProvider, tagSignature,
}

// wantedTags are what all actions of a database have in common: those that the
// 2023 reader asked for, and the content type.
func wantedTags(dbid string) []archive.Tag {
	return []archive.Tag{
		{Name: tagApplication, Value: "KwilDb"},
		{Name: tagOriginal, Value: dbid},
		{Name: tagType, Value: "Action-Sync"},
		{Name: tagContentType, Value: "application/json"},
	}
}

var (
	dbidForm     = regexp.MustCompile(`^x[0-9a-f]{56}$`)
	actionIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{21}$`) // nanoid
)

// CheckDBID refuses what is not the id of a Kwil database: x and the 56
// hexadecimal digits of a SHA-224.
func CheckDBID(dbid string) error {
	if !dbidForm.MatchString(dbid) {
		return fmt.Errorf("database id %.80q: want x and 56 hexadecimal digits", dbid)
	}
	return nil
}

// readTags are the values of the nine tags, by name. Other tags are left alone.
func readTags(tags []archive.Tag) (map[string]string, error) {
	values := make(map[string]string, len(tagNames))
	for _, t := range tags {
		if values[t.Name] != "" && slices.Contains(tagNames[:], t.Name) {
			return nil, errors.New("tag " + t.Name + " is there twice")
		}
		values[t.Name] = t.Value
	}
	for _, name := range tagNames {
		if values[name] == "" {
			return nil, errors.New("tag " + name + " is missing")
		}
	}
	return values, nil
}

// claim is what the tags of an item say. The signature in it shows that the key
// of Signer has signed ID some time, for this item or for another one.
type claim struct {
	ID     string
	Signer Address
}

// readClaim checks that the tags are those of an action of the database. A
// wrong signature is errSignature.
func readClaim(tags []archive.Tag, dbid string) (c claim, err error) {
	values, err := readTags(tags)
	if err != nil {
		return c, err
	}
	for _, want := range wantedTags(dbid) {
		if got := values[want.Name]; got != want.Value {
			return c, fmt.Errorf("tag %s is %.80q", want.Name, got)
		}
	}
	if c.ID = values[tagActionID]; !actionIDForm.MatchString(c.ID) {
		return c, fmt.Errorf("tag %s is %.50q: want 21 characters of a nanoid", tagActionID, c.ID)
	}
	digits, ok := strings.CutPrefix(values[tagSignature], "0x")
	signature, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return c, fmt.Errorf("%w: want 0x and hexadecimal digits", errSignature)
	}
	address, err := archive.RecoverEthereum([]byte(c.ID), signature)
	if err != nil {
		return c, fmt.Errorf("%w: %w", errSignature, err)
	}
	c.Signer, err = ParseAddress(address)
	return c, err
}

var errSignature = errors.New("the signature of the action id")
