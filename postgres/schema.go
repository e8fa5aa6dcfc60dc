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
// are an error, but for extensions and the schema public.
//
// A post-data needs LendRights before, and ReturnRights between its last statement
// and its rights: FinishSchema does that.
func LoadSchema(ctx context.Context, tx pgx.Tx, text string, how Loading) error {
	all, err := Statements(text)
	if err != nil {
		return err
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
	lines, of := []string{"SET LOCAL check_function_bodies = off"}, []int{-1} // bodies may mention what a later statement creates
	add := func(line string, statement int) { lines, of = append(lines, line), append(of, statement) }
	role := ""
	for i, s := range all {
		if s.Role() != role {
			role = s.Role()
			add(setRole(role), i)
		}
		add(s.Text, i)
	}
	if role != "" {
		add(setRole(""), -1)
	}
	add("RESET default_table_access_method", -1)
	add("RESET check_function_bodies", -1)
	conn := tx.Conn().PgConn()
	results := conn.Exec(ctx, strings.Join(lines, ";\n")+";\n")
	done := 0
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err != nil {
			break
		}
		done++
	}
	if err := results.Close(); err != nil {
		if done < len(lines) && of[done] >= 0 {
			s := all[of[done]]
			return fmt.Errorf("load schema: %w in: %s", explainLoad(err, s), excerpt(s.Text))
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
