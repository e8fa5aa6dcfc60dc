package postgres

import (
	"os"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

func runFile(t *testing.T, conn Querier, name string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, string(text))
}

// The message board: what members do through public functions and directly.
func TestExampleBoard(t *testing.T) {
	db, admin := newDatabase(t)
	runFile(t, admin, "../sql/example/board.sql")
	if err := Install(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	tables := []action.Name{{Schema: "board", Name: "post"}, {Schema: "board", Name: "vote"}, {Schema: "board", Name: "profile"}}
	if err := CreatePublication(t.Context(), admin, DefaultName, tables); err != nil {
		t.Fatal(err)
	}
	if err := SaveDatabase(t.Context(), admin, Database{Role: RoleWriter, Stage: StageReady, Name: "board", ID: action.Digest{1}, Genesis: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	registrar, heard := hearing(t, db.URL())
	runFile(t, registrar, "../sql/example/actions.sql")
	if got := heard(); len(got) > 0 {
		t.Errorf("actions.sql: got warnings %q, want none", got)
	}
	alice, bob := connect(t, db.URLAs("alice")), connect(t, db.URLAs("bob"))
	w := newTape(t, admin)

	post := queryText(t, alice, "SELECT board.create_post('Hello', 'First')")
	at := queryText(t, admin, "SELECT created_at::text FROM board.post")
	votes := queryText(t, bob, "SELECT board.vote($1::text::uuid)::text", post)
	if votes != "1" {
		t.Errorf("got %s votes, want 1", votes)
	}
	mustExec(t, alice, "SELECT board.edit_post($1, 'Second')", post)
	edited := queryText(t, admin, "SELECT edited_at::text FROM board.post WHERE body = 'Second'")
	w.want(t,
		[]string{`c ["board.create_post_owner",["id","author","title","body","created_at"],["` + post + `", "alice", "Hello", "First", "` + at + `"]]`, "I board.post", "e"},
		[]string{`c ["board.vote_owner",["post","voter"],["` + post + `", "bob"]]`, "I board.vote", "U board.post", "e"},
		[]string{`c ["board.edit_post_owner",["id","editor","body","edited_at"],["` + post + `", "alice", "Second", "` + edited + `"]]`, "U board.post", "e"})

	refused := []struct{ statement, want string }{
		{"SELECT board.edit_post('" + post + "', 'Mine')", "bob has no post"},
		{"SELECT board.vote('" + post + "')", "duplicate key"},
		{"SELECT board.create_post('', 'x')", "violates check constraint"},
		{"SELECT board.vote_owner('" + post + "', 'alice')", "permission denied"},
		{"SELECT pgbridge.call('board.vote_owner', '{}')", "permission denied"},
		{"SELECT pgbridge.\"board.vote_owner\"('" + post + "', 'alice')", "permission denied"},
		{"UPDATE board.post SET votes = 100", "permission denied"},
		{"INSERT INTO board.profile VALUES ('alice', 'Bob')", "row-level security"},
	}
	for _, test := range refused {
		_, err := bob.Exec(t.Context(), test.statement)
		if message, _ := refusal(err); !strings.Contains(message, test.want) {
			t.Errorf("bob: %s: got %v, want %s", test.statement, err, test.want)
		}
	}
	mustExec(t, bob, "SET row_security = on")
	mustExec(t, bob, "INSERT INTO board.profile VALUES ('bob', 'Bob', 'Here')")
	mustExec(t, bob, "UPDATE board.profile SET about = 'There'")
	mustExec(t, bob, "DELETE FROM board.profile")
	w.want(t, []string{"I board.profile"}, []string{"U board.profile"}, []string{"D board.profile"})
	if found, err := ActionProblems(t.Context(), admin); err != nil || len(found) > 0 {
		t.Errorf("problems: got %v, %v, want none", found, err)
	}
}
