package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Dump is a pg_dump program.
type Dump struct {
	Path    string
	Version string // 15.18
	Major   int
}

// DumpVariable names the environment variable that chooses the pg_dump to use.
const DumpVariable = "PGBRIDGE_PG_DUMP"

// dumpFolders are where the packages of Debian, of Red Hat and of Homebrew put
// pg_dump, one folder per major version.
var dumpFolders = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
}

// FindDump returns the pg_dump to use with a server of this major version: the
// one that PGBRIDGE_PG_DUMP names, or else of those in PATH and in the usual
// folders the one whose version is nearest, but not older, since pg_dump refuses
// a newer server. The error says what was found and what is needed.
func FindDump(ctx context.Context, serverMajor int) (Dump, error) {
	if path := os.Getenv(DumpVariable); path != "" {
		d, err := dumpVersion(ctx, path)
		if err != nil {
			return Dump{}, fmt.Errorf("%s: %w", DumpVariable, err)
		}
		if d.Major < serverMajor {
			return Dump{}, fmt.Errorf("%s: %w", DumpVariable, noDump(serverMajor, []Dump{d}))
		}
		return d, nil
	}
	var found []Dump
	for _, path := range dumpCandidates(filepath.SplitList(os.Getenv("PATH")), dumpFolders) {
		d, err := dumpVersion(ctx, path)
		if ctx.Err() != nil {
			return Dump{}, fmt.Errorf("look for pg_dump: %w", ctx.Err())
		}
		if err == nil { // a program that does not even run is none
			found = append(found, d)
		}
	}
	return chooseDump(serverMajor, found)
}

// dumpCandidates lists the pg_dump programs, each once. Debian's /usr/bin/pg_dump
// is a wrapper that picks another version for each cluster: what it starts is in
// the folders.
func dumpCandidates(path, folders []string) []string {
	for _, pattern := range folders {
		dirs, _ := filepath.Glob(pattern) // the patterns are constant and valid
		path = append(path, dirs...)
	}
	var all []string
	for _, dir := range path {
		file, err := filepath.EvalSymlinks(filepath.Join(dir, "pg_dump"))
		if err == nil && filepath.IsAbs(file) && filepath.Base(file) != "pg_wrapper" && !slices.Contains(all, file) {
			all = append(all, file)
		}
	}
	return all
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^\s]*)`)

func dumpVersion(ctx context.Context, path string) (Dump, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return Dump{}, fmt.Errorf("run %s --version: %w", path, err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return Dump{}, fmt.Errorf("%s is not pg_dump: it calls itself %q", path, bytes.TrimSpace(out))
	}
	major, err := strconv.Atoi(string(m[2]))
	return Dump{Path: path, Version: string(m[1]), Major: major}, err
}

func chooseDump(serverMajor int, found []Dump) (Dump, error) {
	var best Dump
	for _, d := range found {
		if d.Major >= serverMajor && (best.Path == "" || d.Major < best.Major) {
			best = d
		}
	}
	if best.Path == "" {
		return Dump{}, noDump(serverMajor, found)
	}
	return best, nil
}

func noDump(serverMajor int, found []Dump) error {
	list := "none was found"
	if len(found) > 0 {
		texts := make([]string, len(found))
		for i, d := range found {
			texts[i] = d.Path + " (" + d.Version + ")"
		}
		list = "found only " + strings.Join(texts, ", ")
	}
	return fmt.Errorf("pg_dump %d or newer is needed for a server of version %[1]d, %[2]s: install postgresql-client-%[1]d, or set %[3]s",
		serverMajor, list, DumpVariable)
}

// section is a part of pg_dump's output: preData is what rows need, postData what is
// better made after them (indexes, constraints, triggers, policies).
type section string

const (
	preData  section = "pre-data"
	postData section = "post-data"
)

// DumpSchema returns the schema of the database at url as two texts for LoadSchema:
// what rows need, and what is better made after them. Owners and privileges are in
// it (see divide); publications, subscriptions, tablespaces, security labels, large
// objects, schema pgbridge, and what leftOut says, are not. The same schema gives
// the same texts. snapshot is one that is exported while this runs; if it is empty
// the two texts may be of two moments. The password travels in the environment of
// pg_dump, never among its arguments.
func DumpSchema(ctx context.Context, d Dump, url, snapshot string) (before, after string, err error) {
	var parts [2][]Statement
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range []section{preData, postData} {
		group.Go(func() (err error) {
			parts[i], err = dumpSection(ctx, d, url, s, snapshot)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", "", err
	}
	pre, post := divide(parts[0], parts[1])
	return SchemaText(pre), SchemaText(post), nil
}

func dumpSection(ctx context.Context, d Dump, url string, part section, snapshot string) ([]Statement, error) {
	cfg, err := Config(url)
	if err != nil {
		return nil, err
	}
	target, err := dumpTarget(url)
	if err != nil {
		return nil, err
	}
	args := []string{
		"--schema-only", "--section=" + string(part), "--exclude-schema=pgbridge", "--encoding=UTF8",
		"--no-publications", "--no-subscriptions", "--no-tablespaces", "--no-security-labels",
		"--no-password", "--dbname=" + target,
	}
	if part == postData {
		args = append(args, "--use-set-session-authorization")
	}
	if snapshot != "" {
		args = append(args, "--snapshot="+snapshot)
	}
	cmd := exec.CommandContext(ctx, d.Path, args...)
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGPASSWORD="+cfg.Password, "PGOPTIONS="+dumpOptions(cfg))
	if os.Getenv("PGHOST") == "" { // where neither says it, pgx and libpq may guess different sockets
		cmd.Env = append(cmd.Env, "PGHOST="+cfg.Host)
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("pg_dump %s: %w: %s", part, err, lastLines(complaint.String()))
	}
	if !utf8.Valid(out.Bytes()) {
		return nil, fmt.Errorf("pg_dump %s: the output is not UTF-8", part)
	}
	all, err := dumped(out.String())
	return all, wrapUnlessNil("pg_dump "+string(part), err)
}

// libpqOptions are what libpq understands in the query of a URL (and pgx too).
var libpqOptions = []string{
	"host", "hostaddr", "port", "dbname", "user", "passfile", "connect_timeout", "sslmode", "sslcert", "sslkey", "sslrootcert",
	"sslcrl", "sslsni", "sslnegotiation", "sslcertmode", "krbsrvname", "target_session_attrs", "service", "channel_binding",
	"require_auth",
}

// dumpTarget is the URL without its password and without what only pgx knows.
func dumpTarget(text string) (string, error) {
	rest, _ := cutScheme(text)
	rest, query, _ := strings.Cut(rest, "?")
	if at := strings.IndexAny(rest, "@/"); at >= 0 && rest[at] == '@' {
		user, _, _ := strings.Cut(rest[:at], ":")
		rest = user + rest[at:]
	}
	var keep []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.PathUnescape(key)
		if err != nil {
			return "", errors.New("database URL: " + wantURL)
		}
		if key == "sslpassword" {
			return "", errors.New("database URL: sslpassword cannot be given to pg_dump in secret: use a client key without a password")
		}
		if key == "database" { // pgx's other word for it
			key = "dbname"
		}
		if slices.Contains(libpqOptions, key) {
			keep = append(keep, key+"="+value)
		}
	}
	target := "postgresql://" + rest
	if len(keep) > 0 {
		target += "?" + strings.Join(keep, "&")
	}
	return target, nil
}

// dumpOptions gives pg_dump the settings of every other session: it pins some
// itself, but not those that decide how constants in definitions are written.
func dumpOptions(cfg *pgx.ConnConfig) string {
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `)
	options := cfg.RuntimeParams["options"]
	for _, name := range slices.Sorted(maps.Keys(cfg.RuntimeParams)) {
		switch name {
		case "options", "client_encoding", "application_name":
			continue
		}
		options += " -c " + name + "=" + escape.Replace(cfg.RuntimeParams[name])
	}
	return strings.TrimSpace(options)
}

// lastLines is the end of a program's complaint, on one line.
func lastLines(text string) string {
	const limit = 600
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' }), "; ")
	if len(text) > limit {
		text = "… " + strings.ToValidUTF8(text[len(text)-limit:], "")
	}
	return text
}
