package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// SchemaDigest names a schema: the SHA-256 of both texts, with a NUL (which no
// schema can hold) between them.
func SchemaDigest(preData, postData string) action.Digest {
	h := sha256.New()
	io.WriteString(h, preData)
	h.Write([]byte{0})
	io.WriteString(h, postData)
	return action.Digest(h.Sum(nil))
}

// A statement of pg_dump's output is kept, or left out for a reason.
//
//   - Session settings: the session that loads has its own, pinned ones. A newer
//     pg_dump also sets what an older server does not know.
//   - Event triggers: only superusers may make them, and they would fire at once.
//   - User mappings: they hold passwords, and a schema is published for ever.
//   - The comments of extensions and of schema public: they may be there already,
//     with another owner, who alone could comment on them.
var leftOut = []string{
	"SET ", "SELECT pg_catalog.set_config(",
	"CREATE EVENT TRIGGER ", "ALTER EVENT TRIGGER ", "COMMENT ON EVENT TRIGGER ",
	"CREATE USER MAPPING ", "ALTER USER MAPPING ",
	"COMMENT ON EXTENSION ", "COMMENT ON SCHEMA public ",
}

// kept are how the other statements of a schema begin. The table access method
// is the one setting that is part of a table's definition.
var kept = []string{"CREATE ", "ALTER ", "COMMENT ON ", accessMethod}

const accessMethod = "SET default_table_access_method = "

// schemaText turns the output of pg_dump into the one text of a schema: its
// statements, in pg_dump's order, each with ";\n" and an empty line after it.
// Versions, comments and the tokens of \restrict are not in it.
func schemaText(dump string) (string, error) {
	statements, err := ddl.Split(stripRestrict(dump))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, s := range statements {
		if hasAnyPrefix(s, leftOut) && !strings.HasPrefix(s, accessMethod) {
			continue
		}
		if !hasAnyPrefix(s, kept) {
			return "", fmt.Errorf("a statement that this pgbridge does not know: %s", excerpt(s))
		}
		b.WriteString(s)
		b.WriteString(";\n\n")
	}
	return b.String(), nil
}

func hasAnyPrefix(s string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

// stripRestrict removes the \restrict line that recent releases of pg_dump put
// before everything, and the \unrestrict line with the same token after it. The
// token is random, so that nothing between the two can be mistaken for the second.
func stripRestrict(dump string) string {
	head, rest := "", dump
	for line := range strings.Lines(dump) {
		if token, ok := strings.CutPrefix(line, `\restrict `); ok {
			rest = rest[len(line):]
			body, _, _ := strings.Cut(rest, "\n\\unrestrict "+strings.TrimSpace(token)+"\n")
			return head + body
		}
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "--") {
			break // statements begin: an old release
		}
		head, rest = head+line, rest[len(line):]
	}
	return dump
}

// LoadSchema runs a text of DumpSchema inside the caller's transaction, in one
// round trip. It refuses a text with statements that DumpSchema never writes, and
// its errors name the statement that failed. The session must be of this package
// (Connect). Objects belong to the session's role; those that exist already are
// an error, but for extensions and the schema public.
func LoadSchema(ctx context.Context, tx pgx.Tx, text string) error {
	statements, err := ddl.Split(text)
	if err != nil {
		return fmt.Errorf("load schema: %w", err)
	}
	if len(statements) == 0 {
		return nil
	}
	for _, s := range statements {
		if err := belongs(s); err != nil {
			return err
		}
	}
	// Bodies may mention what a later statement creates.
	const before = "SET LOCAL check_function_bodies = off;\n"
	const after = "RESET default_table_access_method;\nRESET check_function_bodies;\n"
	conn := tx.Conn().PgConn()
	results := conn.Exec(ctx, before+strings.Join(statements, ";\n")+";\n"+after)
	done := -1 // not counting the line before
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err != nil {
			break
		}
		done++
	}
	if err := results.Close(); err != nil {
		if done >= 0 && done < len(statements) {
			return fmt.Errorf("load schema: %w in: %s", explainLoad(err, statements[done]), excerpt(statements[done]))
		}
		return fmt.Errorf("load schema: %w", err)
	}
	if conn.TxStatus() != 'T' {
		return errors.New("load schema: the text ended the transaction")
	}
	return nil
}

// belongs refuses a statement that DumpSchema never writes.
func belongs(statement string) error {
	if !hasAnyPrefix(statement, kept) || hasAnyPrefix(statement, leftOut) && !strings.HasPrefix(statement, accessMethod) {
		return fmt.Errorf("load schema: a statement that does not belong into a schema: %s", excerpt(statement))
	}
	return nil
}

// explainLoad adds what to do. Of what a policy names only roles are not in the
// schema; the server's message may be in any language.
func explainLoad(err error, statement string) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42704" && strings.HasPrefix(statement, "CREATE POLICY ") {
		return fmt.Errorf("%w: create the roles that the policies of the schema name", err)
	}
	return err
}

// excerpt is the beginning of a statement, on one line.
func excerpt(statement string) string {
	const limit = 120
	line := strings.Join(strings.Fields(statement), " ")
	if len(line) > limit {
		return strings.ToValidUTF8(line[:limit], "") + "…"
	}
	return line
}
