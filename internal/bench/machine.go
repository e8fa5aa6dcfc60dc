package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where the numbers come from.
type machine struct {
	System     string `json:"system"`
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	Memory     string `json:"memory"`
	Go         string `json:"go"`
	Commit     string `json:"commit"`
	LoadBefore string `json:"load_before"` // of the last minute: what others were doing
	LoadAfter  string `json:"load_after"`
}

func thisMachine() machine {
	return machine{
		System: runtime.GOOS + "/" + runtime.GOARCH, Processor: lookUp("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Memory: lookUp("/proc/meminfo", "MemTotal"), Go: runtime.Version(), Commit: commit(), LoadBefore: load(),
	}
}

func (m machine) String() string {
	return fmt.Sprintf("pgbridge %s, %s, %s\n%d x %s, memory %s, load %s before and %s after",
		m.Commit, m.Go, m.System, m.Cores, m.Processor, m.Memory, m.LoadBefore, m.LoadAfter)
}

// lookUp finds "key : value" in a file, or returns "unknown".
func lookUp(file, key string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		k, v, _ := strings.Cut(line, ":")
		if strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(text), " ")
	if one == "" {
		return "unknown"
	}
	return one
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
