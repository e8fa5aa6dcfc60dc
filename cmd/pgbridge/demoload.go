package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"
)

// boardTables are a message board, which is easier to read than pgbench.
const boardTables = `
	CREATE SCHEMA board;
	CREATE TABLE board.author (id int PRIMARY KEY, name text NOT NULL UNIQUE);
	CREATE TABLE board.message (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, author int NOT NULL REFERENCES board.author,
		title text NOT NULL, body text, likes int NOT NULL DEFAULT 0, posted_at timestamptz NOT NULL DEFAULT now());
	INSERT INTO board.author VALUES (1, 'Ada'), (2, 'Grace'), (3, 'Edsger'), (4, 'Barbara');
	INSERT INTO board.message (author, title) SELECT 1 + n % 4, 'old message ' || n FROM generate_series(1, 1000) n;
`

// boardScript is what pgbench does on the board: a new message, a like, and now
// and then one that is taken away.
const boardScript = `\set author random(1, 4)
\set liked random(1, 500)
\set gone random(501, 20000)
BEGIN;
INSERT INTO board.message (author, title, body) VALUES (:author, 'message of client ' || :client_id, 'it is ' || now());
UPDATE board.message SET likes = likes + 1 WHERE id = :liked;
END;
DELETE FROM board.message WHERE id = :gone;
`

// loadReport is what pgbench said.
type loadReport struct {
	Transactions int64   `json:"transactions"`
	PerSecond    float64 `json:"per_second"`
}

// load puts pgbench on the source, shows how far the follower is meanwhile, and
// measures how long the last commit takes to arrive.
func (d *demo) load(ctx context.Context) error {
	d.say("a load on the first server, %d s, while the second follows", d.seconds)
	if err := os.WriteFile(filepath.Join(d.dir, "board.sql"), []byte(boardScript), 0o644); err != nil {
		return err
	}
	var live live
	over, watched := make(chan struct{}), make(chan error, 1)
	began := time.Now()
	go func() { watched <- d.watch(ctx, over, &live) }()
	err := d.pgbench(ctx, &live, "-n", "-c", "4", "-j", "2", "-P", "1", "-T", fmt.Sprint(d.seconds), "-b", "tpcb-like@4", "-f", "board.sql@1")
	d.report.Seconds.Load = time.Since(began).Seconds()
	close(over)
	if err = errors.Join(err, <-watched); err != nil {
		return err
	}
	d.report.Load = live.report
	return nil
}

// caughtUp makes one more commit and waits until the follower has it: records
// are applied in order, so it has everything before it too.
func (d *demo) caughtUp(ctx context.Context) error {
	const last = "INSERT INTO board.message (author, title) VALUES (1, 'the last message before the disaster')"
	if err := d.first.exec(ctx, last); err != nil {
		return err
	}
	began := time.Now()
	err := d.await(ctx, "the last message to arrive", func(ctx context.Context) (bool, error) {
		var there bool
		err := d.second.query(ctx, "SELECT EXISTS (SELECT FROM board.message WHERE title LIKE 'the last%')", &there)
		return there, err
	})
	d.report.Seconds.Lag = time.Since(began).Seconds()
	return err
}

// progress is how far the two sides are, in records.
type progress struct {
	published, applied uint64
	behind             float64 // seconds: how old the last transaction applied is, while there are later ones
}

func (d *demo) progress(ctx context.Context) (p progress, err error) {
	var at *time.Time
	const applied = `SELECT p.seq - CASE WHEN p.complete THEN 0 ELSE 1 END,
		to_timestamp(split_part(p.clock, '.', 1)::float8 / 1e6) FROM pgbridge.progress p`
	if err := d.second.query(ctx, applied, &p.applied, &at); err != nil {
		return p, err
	}
	if err := d.first.query(ctx, "SELECT seq FROM pgbridge.chain", &p.published); err != nil {
		return p, err
	}
	if p.applied < p.published && at != nil {
		p.behind = time.Since(*at).Seconds()
	}
	return p, nil
}

// live is what pgbench says while it runs, and at its end.
type live struct {
	perSecond atomic.Value // string
	report    loadReport
}

var (
	benchProgress = regexp.MustCompile(`^progress: [0-9.]+ s, ([0-9.]+) tps`)
	benchCount    = regexp.MustCompile(`number of transactions actually processed: ([0-9]+)`)
	benchRate     = regexp.MustCompile(`tps = ([0-9.]+)`)
)

// read takes in a line of pgbench's. The sums come first, then what each script
// did.
func (l *live) read(line string) {
	if m := benchProgress.FindStringSubmatch(line); m != nil {
		l.perSecond.Store(m[1])
	}
	if m := benchCount.FindStringSubmatch(line); m != nil && l.report.Transactions == 0 {
		l.report.Transactions, _ = strconv.ParseInt(m[1], 10, 64)
	}
	if m := benchRate.FindStringSubmatch(line); m != nil && l.report.PerSecond == 0 {
		l.report.PerSecond, _ = strconv.ParseFloat(m[1], 64)
	}
}

// watch shows where both sides are until the load is over: on a terminal in one
// line that is written over, elsewhere now and then.
func (d *demo) watch(ctx context.Context, over <-chan struct{}, l *live) error {
	pause, end := 5*time.Second, "\n"
	if term.IsTerminal(int(os.Stderr.Fd())) {
		pause, end = time.Second/4, "\x1b[K\r"
		defer fmt.Fprintln(d.story)
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-over:
			return nil
		case <-tick.C:
		}
		p, err := d.progress(ctx)
		if err != nil {
			return err
		}
		rate, _ := l.perSecond.Load().(string)
		fmt.Fprintf(d.story, "   %3.0f s  %7s tx/s  record %d published, %d applied, behind %.1f s%s",
			time.Since(began).Seconds(), rate, p.published, p.applied, p.behind, end)
	}
}

// pgbench runs pgbench on the first server.
func (d *demo) pgbench(ctx context.Context, l *live, args ...string) error {
	program, err := d.first.server.Program("pgbench", 0) // any version will do
	if err != nil {
		return usageError{err}
	}
	if len(program) > 1 && l != nil {
		if err := d.first.server.Put(ctx, filepath.Join(d.dir, "board.sql"), "/tmp/board.sql"); err != nil {
			return err
		}
		args[len(args)-1] = "/tmp/board.sql@1"
	}
	args = append(args, "-h", "127.0.0.1", "-p", fmt.Sprint(d.first.server.Port), "-U", "postgres", "app")
	cmd := d.command(ctx, "pgbench "+shellWords(args), "", append(program, args...))
	cmd.Env = append(cmd.Env, "LC_ALL=C") // it is read in English
	out := &tail{line: func(string) {}}
	if l != nil {
		out.line = l.read
	}
	return d.runLines(ctx, cmd, out)
}

// tail hands on lines, and keeps the last of them.
type tail struct {
	line func(string)
	last []string
}

func (d *demo) runLines(ctx context.Context, cmd *exec.Cmd, out *tail) error {
	from, to := io.Pipe()
	cmd.Stdout, cmd.Stderr = to, to
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			out.line(lines.Text())
			out.last = append(out.last[max(0, len(out.last)-9):], lines.Text())
		}
		_, _ = io.Copy(io.Discard, from)
	}()
	err := cmd.Run()
	_ = to.Close()
	<-read
	if err != nil {
		return d.failed(ctx, filepath.Base(cmd.Path), err, strings.Join(out.last, "\n"))
	}
	return nil
}
