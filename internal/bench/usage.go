package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// usage tells who used how much processor time, where the system has /proc.
type usage struct {
	servers []server
}

// server is what one server had used before.
type server struct {
	db     *pgtest.DB
	name   string
	pid    int
	before map[int]time.Duration
	reaped time.Duration
}

func (s *stage) usage(t testing.TB) *usage {
	t.Helper()
	u := &usage{}
	for _, v := range []server{{db: s.a, name: "source"}, {db: s.b, name: "target"}} {
		pid, err := os.ReadFile(filepath.Join(v.db.Cluster.DataDir(), "postmaster.pid"))
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(pid), "\n")
		v.pid, _ = strconv.Atoi(line)
		v.before = map[int]time.Duration{}
		for _, child := range children(v.pid) {
			v.before[child] = processorTime(child).own
		}
		v.reaped = processorTime(v.pid).children
		u.servers = append(u.servers, v)
	}
	return u
}

// since returns seconds of processor time by who used them: the given processes
// in their whole lives, the servers' processes since usage was called.
func (u *usage) since(t testing.TB, running ...*process) map[string]float64 {
	t.Helper()
	used := map[string]float64{}
	for _, p := range running {
		used[p.role] += processorTime(p.cmd.Process.Pid).own.Seconds()
	}
	for _, v := range u.servers {
		names := map[int]string{}
		for _, row := range v.db.Query(t, "SELECT pid, backend_type, query FROM pg_stat_activity") {
			pid, _ := strconv.Atoi(row[0])
			names[pid] = strings.TrimSpace(v.name + " " + row[1] + " " + firstWords(row[1], row[2]))
		}
		for _, child := range children(v.pid) {
			name := names[child]
			if name == "" {
				name = v.name + " other"
			}
			used[name] += (processorTime(child).own - v.before[child]).Seconds()
		}
		used[v.name+" ended backends"] += (processorTime(v.pid).children - v.reaped).Seconds()
	}
	maps.DeleteFunc(used, func(_ string, seconds float64) bool { return seconds < 0.05 })
	return used
}

// firstWords says which of several client backends it is.
func firstWords(kind, query string) string {
	if kind != "client backend" {
		return ""
	}
	words := strings.Fields(query)
	return "(" + strings.Join(words[:min(3, len(words))], " ") + ")"
}

type times struct{ own, children time.Duration }

// processorTime reads the times of a process, or zero where there is no telling.
func processorTime(pid int) times {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const utime, tick = 11, 10 * time.Millisecond // 14th field of all; USER_HZ is 100 everywhere
	if len(fields) < utime+4 {
		return times{}
	}
	var n [4]time.Duration
	for i := range n {
		v, _ := strconv.Atoi(fields[utime+i])
		n[i] = time.Duration(v) * tick
	}
	return times{own: n[0] + n[1], children: n[2] + n[3]}
}

// children lists the processes whose parent is pid.
func children(pid int) (all []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range lists {
		text, _ := os.ReadFile(name)
		for word := range strings.FieldsSeq(string(text)) {
			child, _ := strconv.Atoi(word)
			all = append(all, child)
		}
	}
	return all
}

// peakMemory is the most memory, in MB, that a process ever had resident.
func peakMemory(t testing.TB, p *process) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatalf("peak memory of %s: %v", p.role, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return float64(kb) / 1024
		}
	}
	t.Fatalf("peak memory of %s: no VmHWM in /proc", p.role)
	return 0
}
