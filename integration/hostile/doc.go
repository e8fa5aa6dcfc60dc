// Package hostile attacks the program from outside: as a role that may only log in,
// as one that owns a schema, and as one that owns an action. An attack is a value
// (attack); one function runs it against a source at work with a follower at work,
// and then looks at what a user sees: who is superuser, what code ran as somebody
// else, what the log says, whether the follower equals the source, and whether both
// still run.
//
// What an attacker's code did outside of the attacker's rights is told by the
// server's log and by files, because a rollback takes back neither (see traps).
//
// The suite is built with the tag hostile (make test-hostile). It has no code of its own.
package hostile
