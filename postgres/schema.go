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

// LoadSchema runs a text of DumpSchema inside the caller's transaction, in one
// round trip, each statement as its role (SET LOCAL ROLE). It refuses a text with
// statements that DumpSchema never writes, and its errors name the statement that
// failed. The session must be of this package (Connect). Objects that exist already
// are an error, but for extensions and the schema public. Where how is of a superuser's
// session (NewLoading), it is for a pre-data, schema pgbridge must be there, and code that
// definitions run has the rights of nobody.
//
// A post-data needs LendRights before, and ReturnRights between its last statement
// and its rights: FinishSchema does that.
func LoadSchema(ctx context.Context, tx pgx.Tx, text string, how Loading) error {
	all, err := Statements(text)
	if err != nil {
		return err
	}
	if how.super {
		return loadAsBuilder(ctx, tx, how.choose(all))
	}
	return execute(ctx, tx, how.choose(all))
}

// FinishSchema runs a whole post-data as LoadSchema does, after LendRights.
func FinishSchema(ctx context.Context, tx pgx.Tx, postData string, how Loading) error {
	steps, err := Steps(postData, how)
	if err != nil {
		return err
	}
	var main, rights []Statement
	for _, s := range steps {
		if s.Phase == PhaseRights {
			rights = append(rights, s.Statement)
		} else {
			main = append(main, s.Statement)
		}
	}
	if err := execute(ctx, tx, main); err != nil {
		return err
	}
	if err := ReturnRights(ctx, tx); err != nil {
		return err
	}
	return execute(ctx, tx, rights)
}

// execute runs statements, each as its role, in one round trip.
func execute(ctx context.Context, tx pgx.Tx, all []Statement) error {
	if len(all) == 0 {
		return nil
	}
	script := &batch{}
	script.add("SET LOCAL check_function_bodies = off", -1) // bodies may mention what a later statement creates
	role := ""
	for i, s := range all {
		if s.Role() != role {
			role = s.Role()
			script.add(setRole(role), i)
		}
		script.add(s.Text, i)
	}
	if role != "" {
		script.add(setRole(""), -1)
	}
	script.add("RESET default_table_access_method", -1)
	script.add("RESET check_function_bodies", -1)
	return script.run(ctx, tx, all)
}

// batch is SQL that is executed in one round trip.
type batch struct {
	lines []string // each is one statement of SQL
	of    []int    // the statement that a line is there for, or -1
}

func (s *batch) add(line string, statement int) {
	s.lines, s.of = append(s.lines, line), append(s.of, statement)
}

// run executes the lines. all are the statements that they are there for.
func (s *batch) run(ctx context.Context, tx pgx.Tx, all []Statement) error {
	conn := tx.Conn().PgConn()
	results := conn.Exec(ctx, strings.Join(s.lines, ";\n")+";\n")
	done := 0
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err != nil {
			break
		}
		done++
	}
	if err := results.Close(); err != nil {
		if done < len(s.lines) && s.of[done] >= 0 {
			failed := all[s.of[done]]
			return fmt.Errorf("load schema: %w in: %s", explainLoad(err, failed), excerpt(failed.Text))
		}
		return fmt.Errorf("load schema: %w", err)
	}
	if conn.TxStatus() != 'T' {
		return errors.New("load schema: the text ended the transaction")
	}
	return nil
}

func setRole(role string) string {
	if role == "" {
		return "RESET ROLE"
	}
	return "SET LOCAL ROLE " + action.QuoteIdent(role)
}

// explainLoad adds what to do; the server's message may be in any language.
func explainLoad(err error, s Statement) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	names := ddl.RoleNames(s.Text)
	if s.Role() != "" {
		names = append(names, s.Role())
	}
	if (refused.Code == "42704" || refused.Code == "22023") && len(names) > 0 { // undefined_object; SET ROLE has the other one
		return fmt.Errorf("%w: create the roles that the schema names (%s)", err, summary(names, 5))
	}
	if s.Role() != "" && refused.Code == "42501" {
		return fmt.Errorf("as role %s: %w", s.Role(), err)
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
